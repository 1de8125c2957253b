// Compiles and compresses the runtime: node stage.mjs WHEEL TARGET, below a node_modules with pyodide.
import { readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { loadPyodide, version } from "pyodide";

const here = dirname(fileURLToPath(import.meta.url));
const shipped = dirname(fileURLToPath(import.meta.resolve("pyodide")));
const [wheel, target, quality = "11"] = process.argv.slice(2);

const pyodide = await loadPyodide();
await pyodide.runPythonAsync(await readFile(join(here, "compile_archive.py"), "utf8"));
const compileArchive = pyodide.globals.get("compile_archive");
const python = pyodide.runPython("import sys; '.'.join(map(str, sys.version_info[:3]))");
const [major, minor] = python.split(".");

function compiled(archive, options) {
  const result = compileArchive.callKwargs(pyodide.toPy(new Uint8Array(archive)), options);
  const buffer = result.getBuffer("u8");
  try {
    return Buffer.from(buffer.data);
  } finally {
    buffer.release();
    result.destroy();
  }
}

const name = basename(wheel).replace("-py3-none-any", `-cp${major}${minor}-none-any`);
const files = {
  "pyodide.mjs": await readFile(join(shipped, "pyodide.mjs")),
  "pyodide.asm.mjs": await readFile(join(shipped, "pyodide.asm.mjs")),
  "pyodide.asm.wasm": await readFile(join(shipped, "pyodide.asm.wasm")),
  "pyodide-lock.json": await readFile(join(shipped, "pyodide-lock.json")),
  "python_stdlib.zip": compiled(await readFile(join(shipped, "python_stdlib.zip")), {
    place: `/lib/python${major}${minor}.zip`,
    skip: (process.env.SKIP ?? "").split(" ").filter(Boolean),
    keep_sources: false,
  }),
  [name]: compiled(await readFile(wheel), {
    place: `/lib/python${major}.${minor}/site-packages`,
    keep_sources: true,
  }),
};

const brotli = promisify(zlib.brotliCompress);
const gzip = promisify(zlib.gzip);

async function write([file, data]) {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT } = zlib.constants;
  const params = {
    [BROTLI_PARAM_QUALITY]: Number(quality),
    [BROTLI_PARAM_LGWIN]: 24,
    [BROTLI_PARAM_SIZE_HINT]: data.length,
  };
  const [br, gz] = await Promise.all([brotli(data, { params }), gzip(data, { level: 9 })]);
  await writeFile(join(target, file), data);
  await writeFile(join(target, `${file}.br`), br);
  await writeFile(join(target, `${file}.gz`), gz);
  console.log(`${file} ${data.length} ${br.length} ${gz.length}`);
}

await Promise.all(Object.entries(files).map(write));
await writeFile(join(target, "manifest.json"), JSON.stringify({ pyodide: version, python, wheel: name }));
