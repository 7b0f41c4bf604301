import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: {
    outDir: "../gateway/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the page's Content-Security-Policy allows no data: addresses
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
