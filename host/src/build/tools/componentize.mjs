// Makes a component of a TypeScript or JavaScript entry: checks its types, bundles it, finds out which interfaces of the contract
// the bundle imports, and puts it into a QuickJS engine with exactly these. It runs in the folder of the tools.
import { mkdtempSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import ts from "typescript";
import { componentize } from "componentize-qjs";

const { entry, folder, sdk, wit, out, name, version } = JSON.parse(process.env.AIRLOCK_REQUEST);

function fail(text) {
  console.error(text.trimEnd());
  process.exit(1);
}

function checkTypes() {
  const options = {
    target: ts.ScriptTarget.ES2023, lib: ["lib.es2023.d.ts"], module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler, customConditions: ["airlock"], allowImportingTsExtensions: true, noEmit: true,
    strict: true, skipLibCheck: true, types: [], paths: { "airlock-sdk": [join(sdk, "src/index.ts")] },
  };
  const program = ts.createProgram([entry, join(sdk, "src/host/contract.d.ts")], options);
  const found = ts.getPreEmitDiagnostics(program);
  const host = { getCurrentDirectory: () => folder, getCanonicalFileName: (path) => path, getNewLine: () => "\n" };
  if (found.length > 0) fail(ts.formatDiagnostics(found, host));
}

async function bundle() {
  const contents = `import plugin from ${JSON.stringify(entry)};
import { guestOf } from "airlock-sdk/component";
export const guest = guestOf(plugin, ${JSON.stringify(name)}, ${JSON.stringify(version)});`;
  try {
    return await build({
      stdin: { contents, resolveDir: folder, sourcefile: "component.js" }, absWorkingDir: folder, bundle: true, format: "esm", platform: "neutral",
      mainFields: ["module", "main"], conditions: ["airlock"], target: "es2023", write: false, metafile: true, outfile: "component.js",
      legalComments: "none", external: ["airlock:*"], logLevel: "silent",
      alias: { "airlock-sdk/component": join(sdk, "src/component.ts"), "airlock-sdk/testing": join(sdk, "src/testing.ts"), "airlock-sdk": join(sdk, "src/index.ts") },
    });
  } catch (error) {
    const at = ({ location, text }) => (location ? `${location.file}:${location.line}:${location.column + 1}: ${text}` : text);
    return fail(error.errors ? error.errors.map(at).join("\n") : String(error.stack ?? error));
  }
}

if (/\.m?ts$/.test(entry)) checkTypes();
const result = await bundle();
const source = result.outputFiles[0].text;
const imports = Object.values(result.metafile.outputs).flatMap((output) => output.imports);
const contract = imports.filter((one) => one.external).map((one) => /^airlock:operator\/([a-z-]+)@/.exec(one.path)?.[1]).filter(Boolean);
const scratch = mkdtempSync(join(tmpdir(), "airlock-ts-"));
try {
  cpSync(wit, scratch, { recursive: true });
  const lines = [...new Set(contract)].sort().map((one) => `  import ${one};\n`).join("");
  writeFileSync(join(scratch, "plugin.wit"), `package airlock:operator@0.1.0;\n\nworld plugin {\n${lines}  export guest;\n}\n`);
  // Clocks and random numbers come from WASI; what uses neither imports nothing of it.
  const needsWasi = /\b(Date|Math\s*\.\s*random|performance|crypto|console|setTimeout|setInterval|process)\b/.test(source);
  const { component } = await componentize({
    witPath: scratch, jsSource: source, world: "plugin", sync: true, optSize: false, stubWasi: !needsWasi,
  });
  writeFileSync(out, component);
} catch (error) {
  fail(String(error.message ?? error).replace(/^: /, ""));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
