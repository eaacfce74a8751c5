// The built page in a real browser against a stand-in daemon; apart from the unit tests because it needs
// Chromium, FFmpeg and a finished build.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["e2e/**/*.test.ts"], testTimeout: 40_000, hookTimeout: 40_000 },
});
