// Runs a function of the checkout in Pyodide: node run.mjs PYODIDE CHECKOUT PACKAGES MODULE ARGUMENT...
// MODULE has `main(*arguments)`, a coroutine or not, which returns the exit code.
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [pyodide, checkout, packages, module, ...words] = process.argv.slice(2);
if (!globalThis.WebSocket) {
  // Before Node 22. An error that nobody hears would end the process, which no browser does.
  const { WebSocket } = await import("ws");
  globalThis.WebSocket = class extends WebSocket {
    constructor(...words) {
      super(...words);
      this.on("error", () => {});
    }
  };
}

const { loadPyodide } = await import(pathToFileURL(join(pyodide, "pyodide.mjs")));
const stdLibURL = join(pyodide, "python_stdlib.zip");
const py = await loadPyodide({ indexURL: pyodide, stdLibURL, env: { PYTHONDONTWRITEBYTECODE: "1", CI: process.env.CI ?? "" } });
for (const [place, folder] of [["/checkout", checkout], ["/packages", packages]]) {
  py.FS.mkdir(place);
  py.mountNodeFS(place, folder);
}
py.globals.set("module", module);
py.globals.set("words", py.toPy(words));
try {
  process.exitCode = await py.runPython(`
    import os, sys
    from importlib import import_module

    sys.path[:0] = ["/checkout/src", "/checkout/tests", "/packages"]
    os.chdir("/checkout")
    import_module(module).main(*words)
  `);
} catch (error) {
  // Not the stack of the engine: one line of it is a megabyte.
  console.error(error.message);
  process.exitCode = 1;
}
process.exit();
