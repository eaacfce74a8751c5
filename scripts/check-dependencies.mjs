// Dependencies point one way: domain ← media, partners, store; all of these ← actors ← playoutd. And the pure crates
// depend on nothing that has tasks, I/O, a clock or randomness for its purpose.
import { execFileSync } from "node:child_process";

/** @type {Record<string, string[]>} */
const MAY_USE = {
  "playout-domain": [],
  "playout-media": ["playout-domain"],
  "playout-partners": ["playout-domain"],
  "playout-store": ["playout-domain"],
  "playout-actors": ["playout-domain", "playout-media", "playout-partners", "playout-store"],
  playoutd: ["playout-domain", "playout-media", "playout-partners", "playout-store", "playout-actors"],
};
const PURE = ["playout-domain", "playout-media"];
const IMPURE = /^(tokio|async|futures|hyper|warp|reqwest|ractor|nix|libc|rand|getrandom|fastrand|fred|redis|bb8|mio|rustix|tempfile|procfs|socket2)([-_]|$)/;

const { packages } = JSON.parse(
  execFileSync("cargo", ["metadata", "--no-deps", "--format-version", "1"], { encoding: "utf8", maxBuffer: 1 << 26 }),
);
const ours = new Set(packages.map((each) => each.name));
const complaints = [];
for (const { name, dependencies } of packages) {
  // Tests may look sideways (the store tests itself with its own test servers); shipped code may not.
  const shipped = dependencies.filter((each) => each.kind !== "dev").map((each) => each.name);
  const allowed = MAY_USE[name];
  if (allowed === undefined) {
    complaints.push(`${name} has no place in the order yet: give it one in scripts/check-dependencies.mjs`);
    continue;
  }
  for (const used of shipped) {
    if (ours.has(used) && !allowed.includes(used)) complaints.push(`${name} must not depend on ${used}`);
    if (PURE.includes(name) && IMPURE.test(used)) complaints.push(`${name} is pure and must not depend on ${used}`);
  }
}
for (const complaint of complaints) console.error(`check-dependencies: ${complaint}`);
process.exitCode = complaints.length > 0 ? 1 : 0;
