// Starts Python in this page, and shows the progress, or why it fails.
import { whileLoading } from "./loading.js";
import { Failure, failureOf } from "./failures.js";

const settings = JSON.parse(document.getElementById("sockstore-settings").textContent);
const loading = document.getElementById("sockstore-loading");
const [line, amount] = loading.querySelectorAll("[role=status] span");
const bar = loading.querySelector("progress");
const button = loading.querySelector("button");

async function start() {
  requireWebAssembly();
  const [pyodide, sources] = await whileLoading(settings, showAmount, () =>
    Promise.all([loadPython(), loadSources()]),
  );
  performance.mark("sockstore: python");
  showStarting();
  pyodide.unpackArchive(sources, "zip");
  await pyodide.pyimport("sockstore.demo.in_browser").start(settings.server);
  loading.remove();
  performance.mark("sockstore: started");
}

function requireWebAssembly() {
  if (typeof WebAssembly === "object" && WebAssembly.instantiateStreaming) return;
  throw new Failure(
    "This browser cannot run Python: its WebAssembly is missing or turned off. " +
      "Open the page in a current Firefox, Chrome, Edge or Safari.",
  );
}

async function loadPython() {
  const { loadPyodide } = await import(`${settings.runtime}pyodide.mjs`);
  return loadPyodide({ indexURL: settings.runtime });
}

async function loadSources() {
  return (await fetch(settings.sources)).arrayBuffer();
}

function showAmount(arrived, total) {
  amount.textContent = ` ${megabytes(arrived)}${total ? ` of ${megabytes(total)}` : ""} MB`;
  if (total) bar.value = Math.min(1, arrived / total);
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}

function showStarting() {
  line.textContent = "Starting …";
  amount.textContent = "";
  bar.removeAttribute("value");
}

function showFailure(error) {
  console.error(error);
  document.body.replaceChildren(loading);
  line.textContent = failureOf(error, settings).message;
  amount.textContent = "";
  bar.hidden = true;
  button.hidden = false;
}

button.addEventListener("click", () => location.reload());
start().catch(showFailure);
