// Builds the page's code and style into ait_cmp/report/page/; run by scripts/build_page.sh.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const target = fileURLToPath(new URL(process.argv[2] ?? "../ait_cmp/report/page/", import.meta.url));
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Of what the page is built; a test compares it with what lies there, so that none is stale. */
function digest() {
  const files = readdirSync(here("."), { recursive: true })
    .filter((path) => !path.startsWith("node_modules") && /\.(mjs|js|css|json)$/.test(path))
    .sort();
  const hash = createHash("sha256");
  for (const path of files) hash.update(readFileSync(here(path)));
  return hash.digest("hex");
}

const { metafile } = await build({
  entryPoints: { page: here("src/main.js") },
  outdir: target,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome103", "firefox113", "safari16.4"], // what has DecompressionStream
  charset: "utf8",
  banner: { js: `// built of frontend/ ${digest()}` },
  legalComments: "none", // whole licences stand in LICENSES.txt
  metafile: true,
  logLevel: "warning",
  absWorkingDir: here("."),
});

/** The packages of which something was built in. */
function packages() {
  const found = Object.keys(metafile.inputs).map((path) => /^node_modules\/([^/]+)/.exec(path)?.[1]);
  return [...new Set(found.filter(Boolean))].sort();
}

const licences = packages().map((name) => {
  const said = JSON.parse(readFileSync(here(`node_modules/${name}/package.json`)));
  const files = ["LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE"].flatMap((file) => {
    try {
      return [readFileSync(here(`node_modules/${name}/${file}`), "utf8").trim()];
    } catch {
      return [];
    }
  });
  if (!files.length) throw new Error(`${name} has no licence file`);
  return [`${name} ${said.version} (${said.license})`, ...files].join("\n\n");
});
const line = `\n\n${"=".repeat(80)}\n\n`;
writeFileSync(
  `${target}/LICENSES.txt`,
  `page.js and page.css hold parts of these packages, built by scripts/build_page.sh.${line}${licences.join(line)}\n`,
);
