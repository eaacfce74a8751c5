//! How a stranger's file is opened: what may be read, and as what.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::{Invocation, Tool};

/// Demuxers of media that lies in one file. Absent on purpose: playlists and scripts (`hls`, `dash`,
/// `concat`, `imf`, `sdp`, …), which open other files and URLs, image patterns (`image2`), and
/// demuxers that take any text for media (`tty`, subtitles). The ones for sound and still images are
/// here so that their refusal can name them.
const FORMATS: &str = "mov,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,live_flv,asf,ogg,mxf,gxf,dv,nut,rm,wtv,\
    h264,hevc,m4v,ivf,obu,av1,vc1,y4m,yuv4mpegpipe,gif,\
    aac,ac3,eac3,mp3,flac,wav,w64,aiff,caf,amr,ape,wv,tta,dts,truehd,\
    png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,svg_pipe,gem_pipe,jpegxl_pipe";

/// Bytes and microseconds that are looked at to find the streams. The same when probing and when
/// playing: a stream that was found must be found again.
const PROBE_BYTES: &str = "20000000";
const PROBE_TIME: &str = "10000000";

/// No larger picture is decoded, also when a stream grows on its way: 8192 × 8192.
const MAX_PIXELS: &str = "67108864";

/// The path as FFmpeg is to read it: as a file, whatever its name looks like.
fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path.as_os_str());
    url
}

impl Invocation {
    /// Adds a stranger's file as the next input.
    pub(super) fn stranger(mut self, path: &Path) -> Self {
        self.reads = Some(path.to_owned());
        self.with(["-protocol_whitelist", "file", "-format_whitelist", FORMATS])
            .with(["-probesize", PROBE_BYTES, "-analyzeduration", PROBE_TIME])
            .with(["-max_pixels", MAX_PIXELS])
            .with([OsStr::new("-i"), &file_url(path)])
    }

    /// Adds a PNG that was looked at before as the next input.
    pub(super) fn png(self, path: &Path) -> Self {
        self.with(["-protocol_whitelist", "file", "-f", "png_pipe"])
            .with([OsStr::new("-i"), &file_url(path)])
    }

    /// Adds a file of our own making as the next input.
    pub(super) fn own(self, path: &Path) -> Self {
        self.with(["-protocol_whitelist", "file", "-f", "mpegts"])
            .with([OsStr::new("-i"), &file_url(path)])
    }
}

/// Looks at a file. Standard output is for [`crate::probe::parse`].
pub fn probe(input: &Path) -> Invocation {
    const ENTRIES: &str = "program=program_id:program_stream=index:format=format_name,start_time,duration,size:format_tags:\
        stream=index,codec_name,codec_type,codec_tag_string,width,height,sample_aspect_ratio,field_order,\
        color_space,color_transfer,time_base,start_pts,duration,nb_frames,avg_frame_rate,channels,sample_rate:\
        stream_tags=DURATION,language:stream_disposition=attached_pic,default,comment,hearing_impaired,visual_impaired:stream_side_data=rotation";
    Invocation {
        program: Tool::Ffprobe,
        args: Vec::new(),
        secret: None,
        reads: None,
    }
    .with([
        "-hide_banner",
        "-loglevel",
        "error",
        "-print_format",
        "json=compact=1",
        "-show_error",
    ])
    .with(["-show_entries", ENTRIES])
    .stranger(input)
}
