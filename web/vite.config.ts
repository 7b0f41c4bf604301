import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

const RUNBOOK = new URL("../docs/runbook.md", import.meta.url);

/** The runbook beside the page, each section under its name, so that a reason's link leads to what to do. */
function runbook(): Plugin {
  const escaped = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  return {
    name: "runbook",
    generateBundle() {
      const sections = readFileSync(RUNBOOK, "utf8").split(/^(?=#{1,3} )/m).map((section) => {
        const [title = "", ...lines] = section.split("\n");
        const name = title.replace(/^#+ /, "");
        const id = name.toLowerCase().replace(/[^\w]+/g, "-");
        return `<h2 id="${escaped(id)}">${escaped(name)}</h2>\n<pre>${escaped(lines.join("\n").trim())}</pre>\n`;
      });
      const head = '<meta charset="utf-8"><meta name="color-scheme" content="light dark">';
      const source = `<!doctype html>\n<html lang="en">${head}<title>Runbook · ClassPulse</title>\n${sections.join("")}</html>\n`;
      this.emitFile({ type: "asset", fileName: "runbook.html", source });
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [runbook()],
  build: {
    outDir: "../gateway/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the page's Content-Security-Policy allows no data: addresses
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
