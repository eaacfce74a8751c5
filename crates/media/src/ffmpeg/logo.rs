//! The logo: how it is brought to each rung's scale, and drawn.

use std::path::Path;

use playout_domain::logo::Logo;
use playout_domain::resolution::Resolution;
use playout_domain::units::FrameRate;

use super::Invocation;

/// Decodes a logo, and tells on standard output that there was a picture; any fault in it is a failure or a message.
pub fn decode_logo(png: &Path) -> Invocation {
    Invocation::ffmpeg()
        .with(["-err_detect", "explode", "-xerror"])
        .png(png)
        .with([
            "-frames:v",
            "1",
            "-flush_packets",
            "0",
            "-f",
            "framemd5",
            "pipe:1",
        ])
}

/// The filters that bring a logo to a rung's scale. It is a single picture, which stands; its clock is that of the
/// pictures that it is drawn on, or these would be counted on another.
pub(super) fn scaled(logo: &Logo, size: Resolution, rate: FrameRate) -> String {
    let (width, height) = (f64::from(size.width()), f64::from(size.height()));
    let even = |pixels: f64| ((pixels / 2.0).round() * 2.0).max(2.0) as u32;
    let wide = even(width * logo.width());
    // Neither is it higher than the picture between the margins.
    let high = even(height * (1.0 - 2.0 * logo.margin()));
    // As large as fits, and two pixels at least: of a line there would be nothing left.
    let fit = |side: &str| format!("max(2,2*floor({side}*min({wide}/iw,{high}/ih)/2+0.001))");
    format!(
        "settb={}/{},format=rgba,colorchannelmixer=aa={:.2},\
         scale=w='{}':h='{}':out_color_matrix=bt709:out_range=tv,format=yuva420p",
        rate.den(),
        rate.num(),
        logo.opacity(),
        fit("iw"),
        fit("ih")
    )
}

/// The filter that draws it.
pub(super) fn drawn(logo: &Logo, size: Resolution) -> String {
    let inset = |of: u32| (f64::from(of) * logo.margin() / 2.0).round() as u32 * 2;
    let (side, edge) = (inset(size.width()), inset(size.height()));
    let (top, left) = logo.position().sides();
    let x = match left {
        true => side.to_string(),
        false => format!("main_w-overlay_w-{side}"),
    };
    let y = match top {
        true => edge.to_string(),
        false => format!("main_h-overlay_h-{edge}"),
    };
    format!("overlay={x}:{y}:eof_action=repeat:format=yuv420,setsar=1,format=yuv420p")
}
