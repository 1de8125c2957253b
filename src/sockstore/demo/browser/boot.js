// Starts Python in this page, says how far it is, and says in plain words when it cannot.

const settings = JSON.parse(document.getElementById("sockstore-settings").textContent);
const loading = document.getElementById("sockstore-loading");
const line = loading.querySelector("[role=status]");
const bar = loading.querySelector("progress");
const button = loading.querySelector("button");

class Failure extends Error {}

async function start() {
  const wheel = load(settings.wheel);
  const { loadPyodide } = await import(`${settings.runtime}pyodide.mjs`);
  const pyodide = await loadPyodide({ indexURL: settings.runtime });
  performance.mark("sockstore: python");
  line.textContent = "Starting …";
  pyodide.unpackArchive(await wheel, "wheel");
  performance.mark("sockstore: unpacked");
  const page = pyodide.pyimport("sockstore.demo.in_browser");
  performance.mark("sockstore: imported");
  await page.start(settings.server);
  loading.remove();
  performance.mark("sockstore: started");
}

async function load(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Failure(`${url} could not be loaded (${response.status}).`);
  return response.arrayBuffer();
}

function fail(error) {
  line.textContent = String(error).slice(0, 1000);
  bar.hidden = true;
  button.hidden = false;
}

button.addEventListener("click", () => location.reload());
start().catch(fail);
