// hls.js ships one set of types; the light build (no alternative audio, subtitles, DRM) is a subset of it.
declare module "hls.js/light" {
  export * from "hls.js";
  export { default } from "hls.js";
}

declare module "*?url" {
  const url: string;
  export default url;
}

declare module "*.css" {}
