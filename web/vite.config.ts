// Builds the watch page: dist/watch.html and dist/assets/*, served at /watch/{channelId} and /watch/assets/*.
// Nothing is inlined, so that the page runs under a Content-Security-Policy of 'self' alone.
import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "/watch/",
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    // hls.js with subtitles is 590 kB before compression; one page has nothing to gain from splitting it off.
    chunkSizeWarningLimit: 700,
    rollupOptions: { input: "watch.html" },
  },
  test: { include: ["src/**/*.test.ts"] },
});
