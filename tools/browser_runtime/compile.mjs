// Compiles Python's standard library and our sources with Pyodide's own Python, and compresses all
// files that a page loads. Usage: node compile.mjs SETTINGS (as JSON), beside node_modules/pyodide.
import { readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { loadPyodide, version } from "pyodide";

const { sources, digest, target, quality, asShipped } = JSON.parse(process.argv[2]);
const here = dirname(fileURLToPath(import.meta.url));
const shipped = dirname(fileURLToPath(import.meta.resolve("pyodide")));
const LIBRARY = "python_stdlib.zip";
const AS_SHIPPED = ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "pyodide-lock.json"];

const pyodide = await loadPyodide();
await pyodide.runPythonAsync(await readFile(join(here, "compile_archive.py"), "utf8"));
const [major, minor, micro] = pyodide.runPython("import sys; sys.version_info[:3]").toJs();

/** Return an archive with bytecode; `options` are those of `compile_archive`. */
async function compile(archive, options) {
  const compileArchive = pyodide.globals.get("compile_archive");
  const data = new Uint8Array(await readFile(archive));
  const result = compileArchive.callKwargs(data, options).getBuffer("u8");
  return Buffer.from(result.data);
}

/** Return the standard library without its sources, which would add 1.4 MB to the download. */
function compileLibrary() {
  const place = `/lib/python${major}${minor}.zip`;
  return compile(join(shipped, LIBRARY), { place, keep_sources: false });
}

/** Return our sources and their bytecode: 0.1 MB of sources let tracebacks show their lines. */
function compileOurs() {
  // Where the page unpacks them: its working directory.
  return compile(sources, { place: pyodide.FS.cwd(), keep_sources: true });
}

const brotli = promisify(zlib.brotliCompress);
const gzip = promisify(zlib.gzip);

async function write(name, data) {
  const params = {
    [zlib.constants.BROTLI_PARAM_QUALITY]: quality,
    [zlib.constants.BROTLI_PARAM_LGWIN]: zlib.constants.BROTLI_MAX_WINDOW_BITS,
    [zlib.constants.BROTLI_PARAM_SIZE_HINT]: data.length,
  };
  await writeFile(join(target, name), data);
  await writeFile(join(target, `${name}.br`), await brotli(data, { params }));
  await writeFile(join(target, `${name}.gz`), await gzip(data, { level: 9 }));
}

/** Write npm's files unchanged, to compare with the compiled ones. */
async function writeAsShipped() {
  const names = [...AS_SHIPPED, LIBRARY];
  await Promise.all(names.map(async (name) => write(name, await readFile(join(shipped, name)))));
}

async function writeCompiled() {
  // The name says which Python the bytecode is for.
  const name = `${basename(sources, ".zip")}-cp${major}${minor}.zip`;
  const python = [major, minor, micro].join(".");
  const manifest = { pyodide: version, python, archive: name, digest };
  await Promise.all([
    ...AS_SHIPPED.map(async (file) => write(file, await readFile(join(shipped, file)))),
    write(LIBRARY, await compileLibrary()),
    write(name, await compileOurs()),
  ]);
  await writeFile(join(target, "manifest.json"), JSON.stringify(manifest));
}

await (asShipped ? writeAsShipped() : writeCompiled());
