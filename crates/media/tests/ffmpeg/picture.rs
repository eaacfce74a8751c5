//! How pictures look in the profile: whole, upright, in the right shape and colours.

use std::path::Path;

use playout_domain::Resolution;
use playout_domain::media::Profile;
use playout_domain::treatment::{Fit, Treatment};
use playout_domain::units::FrameRate;
use playout_media::ffmpeg::{self, Means};

use crate::pixels;
use crate::run::{bytes, import, make, prepare, probed, profile, put, small};

/// A picture of the profile, 426×240, three bytes a pixel.
struct Picture(Vec<u8>);

const WIDTH: usize = 426;
const HEIGHT: usize = 240;

impl Picture {
    fn at(&self, x: usize, y: usize) -> [i32; 3] {
        let at = 3 * (y * WIDTH + x);
        [0, 1, 2].map(|channel| i32::from(self.0[at + channel]))
    }

    fn assert_near(&self, (x, y): (usize, usize), wanted: [i32; 3], what: &str) {
        let found = self.at(x, y);
        let near = found
            .iter()
            .zip(wanted)
            .all(|(found, wanted)| (found - wanted).abs() <= 8);
        assert!(near, "{what}: {found:?} at {x}, {y} instead of {wanted:?}");
    }
}

/// The pictures of a prepared item, in RGB as a television shows them.
fn pictures(stream: &[u8]) -> Vec<Picture> {
    let all = pixels::pictures(stream, 0, Resolution::P240).into_iter();
    all.map(Picture).collect()
}

fn first(path: &Path) -> Picture {
    pictures(&prepare(path, &small()).bytes).swap_remove(0)
}

/// `source` for some frames, lossless enough.
fn shot(dir: &Path, name: &str, source: &str, options: &[&str]) -> std::path::PathBuf {
    let path = dir.join(name);
    make(
        ["-f", "lavfi", "-i", source, "-t", "0.2"]
            .iter()
            .chain(options),
        &path,
    );
    path
}

const LOSSLESS: [&str; 4] = ["-c:v", "ffv1", "-pix_fmt", "yuv444p"];
const H264: [&str; 6] = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "5"];
const BLACK: [i32; 3] = [0; 3];
const WHITE: [i32; 3] = [255; 3];

#[test]
fn another_shape_is_fitted_and_the_rest_is_black() {
    let dir = tempfile::tempdir().unwrap();
    // Name, size, pixel aspect, and where the picture ends on screen: left, top.
    let shapes = [
        ("odd.mkv", "321x241", "1", (53, 0)),
        ("portrait.mkv", "180x320", "1", (145, 0)),
        ("wide.mkv", "640x200", "1", (0, 53)),
        ("anamorphic.mkv", "180x240", "64/45", (85, 0)),
    ];
    for (name, size, aspect, (left, top)) in shapes {
        let source = format!("color=white:s={size},setsar={aspect}");
        let picture = first(&shot(dir.path(), name, &source, &LOSSLESS));
        picture.assert_near((WIDTH / 2, HEIGHT / 2), WHITE, name);
        picture.assert_near((left + 6, top + 6), WHITE, name);
        picture.assert_near((WIDTH - left - 7, HEIGHT - top - 7), WHITE, name);
        if left + top > 0 {
            let outside = |edge: usize| edge.saturating_sub(6);
            picture.assert_near((outside(left), outside(top)), BLACK, name);
            let (right, bottom) = (WIDTH - 1 - outside(left), HEIGHT - 1 - outside(top));
            picture.assert_near((right, bottom), BLACK, name);
        }
    }
}

/// Writes a display matrix into the header of a file's one video track (ISO/IEC 14496-12 §8.3.2).
fn turn(path: &Path, [a, b, c, d]: [i32; 4]) {
    let mut file = std::fs::read(path).unwrap();
    let header = file.windows(4).position(|w| w == b"tkhd").unwrap();
    let matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30];
    let bytes: Vec<u8> = matrix.iter().flat_map(|n: &i32| n.to_be_bytes()).collect();
    file[header + 44..header + 80].copy_from_slice(&bytes);
    std::fs::write(path, file).unwrap();
}

#[test]
fn a_telephones_picture_stands_upright() {
    let dir = tempfile::tempdir().unwrap();
    // Red to the left, blue to the right, a green stripe along the top.
    let source = "color=red:s=320x180,format=gbrp,drawbox=160:0:160:180:blue:fill,drawbox=0:0:320:40:lime:fill";
    let (red, blue, green) = ([255, 0, 0], [0, 0, 255], [0, 255, 0]);
    let options = [
        &H264[..],
        &[
            "-vf",
            "scale=out_color_matrix=bt709,format=yuv444p",
            "-colorspace",
            "bt709",
        ],
    ]
    .concat();
    let turned = |name: &str, matrix| {
        let path = shot(dir.path(), name, source, &options);
        turn(&path, matrix);
        let shown = import(&path).unwrap().1.summary;
        (first(&path), (shown.width, shown.height))
    };
    // Clockwise by 90°: the top is now at the right, the left at the top.
    let (picture, shown) = turned("90.mp4", [0, 1, -1, 0]);
    assert_eq!(shown, (180, 320));
    picture.assert_near((200, 60), red, "90°");
    picture.assert_near((200, 180), blue, "90°");
    picture.assert_near((270, 120), green, "90°");
    picture.assert_near((20, 120), BLACK, "90°");
    let (picture, shown) = turned("180.mp4", [-1, 0, 0, -1]);
    assert_eq!(shown, (320, 180));
    picture.assert_near((100, 100), blue, "180°");
    picture.assert_near((330, 100), red, "180°");
    picture.assert_near((213, 220), green, "180°");
    let (picture, _) = turned("270.mp4", [0, -1, 1, 0]);
    picture.assert_near((230, 60), blue, "270°");
    picture.assert_near((230, 180), red, "270°");
    picture.assert_near((155, 120), green, "270°");
}

#[test]
fn colours_stay_what_they_are_whatever_they_are_coded_in() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = [200, 60, 40];
    let source = |size: &str| format!("color=0xc83c28:s={size},format=gbrp");
    let coded = |matrix: &str, range: &str| {
        format!("scale=out_color_matrix={matrix}:out_range={range},format=yuv444p")
    };
    // Name, size, matrix, range, and whether the stream tells them.
    let cases = [
        ("sd-told.mkv", "640x360", "smpte170m", "tv", true),
        ("sd-untold.mkv", "640x360", "smpte170m", "tv", false),
        ("hd-untold.mkv", "1280x720", "bt709", "tv", false),
        ("sd-709.mkv", "640x360", "bt709", "tv", true),
        ("full.mkv", "640x360", "bt709", "pc", true),
        ("pal.mkv", "640x360", "bt470bg", "tv", true),
    ];
    for (name, size, matrix, range, told) in cases {
        let filter = coded(matrix, range);
        let mut options = [&["-vf", &filter][..], &H264].concat();
        // Without the encoder's telling, the container must not tell either.
        let bare = ["-colorspace", "unknown", "-color_range", "tv"];
        options.extend(if told {
            ["-colorspace", matrix, "-color_range", range]
        } else {
            bare
        });
        first(&shot(dir.path(), name, &source(size), &options)).assert_near(
            (213, 120),
            wanted,
            name,
        );
    }
    for (name, codec, format) in [
        ("planar.mkv", "ffv1", "gbrp"),
        ("packed.mov", "qtrle", "rgb24"),
    ] {
        let rgb = shot(
            dir.path(),
            name,
            &source("640x360"),
            &["-c:v", codec, "-pix_fmt", format],
        );
        first(&rgb).assert_near((213, 120), wanted, name);
    }
}

#[test]
fn high_dynamic_range_is_brought_into_the_ordinary_one() {
    let dir = tempfile::tempdir().unwrap();
    for transfer in ["smpte2084", "arib-std-b67"] {
        let filter = format!(
            "zscale=tin=709:min=gbr:pin=709:rin=full:t={transfer}:m=2020_ncl:p=2020:r=limited:npl=203,format=yuv420p10le"
        );
        let params =
            format!("log-level=error:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc");
        let options = [
            "-vf",
            &filter,
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            &params,
        ];
        let path = shot(
            dir.path(),
            &format!("{transfer}.mp4"),
            "color=0x808080:s=320x180,format=gbrp",
            &options,
        );
        first(&path).assert_near((213, 120), [128; 3], transfer);
    }
}

/// How much each line differs from the next, on average: the teeth of two fields in one picture.
fn teeth(picture: &Picture) -> i32 {
    let rows = (1..HEIGHT - 1).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
    let bends = rows.map(|(x, y)| {
        let [above, here, below] = [y - 1, y, y + 1].map(|y| picture.at(x, y)[1]);
        (2 * here - above - below).abs()
    });
    bends.sum::<i32>() / (WIDTH * HEIGHT) as i32
}

#[test]
fn fields_become_frames_and_fast_channels_show_each() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fields.mp4");
    // A bar that moves with every field, 50 a second.
    let source = "color=black:s=426x240:r=50,format=gray,geq=lum='if(between(mod(X-9*N\\,426)\\,0\\,60)\\,235\\,16)'";
    let fields = [
        "-vf",
        "tinterlace=interleave_top,format=yuv420p",
        "-flags",
        "+ildct+ilme",
        "-x264-params",
        "tff=1",
    ];
    make(
        ["-f", "lavfi", "-i", source, "-t", "1"]
            .iter()
            .chain(&H264)
            .chain(&fields),
        &path,
    );
    let found = probed(&path);
    assert!(found.video.as_ref().unwrap().interlaced);

    let mut progressive = found.clone();
    progressive.video.as_mut().unwrap().interlaced = false;
    let combed = pictures(&bytes(&ffmpeg::prepare(
        &path,
        &progressive,
        &small(),
        Means::NONE,
    )));
    let whole = pictures(&prepare(&path, &small()).bytes);
    assert_eq!(whole.len(), 25);
    assert!(
        teeth(&combed[12]) >= 10,
        "the test's picture has teeth: {}",
        teeth(&combed[12])
    );
    assert!(teeth(&whole[12]) <= 3, "teeth: {}", teeth(&whole[12]));

    let fast = pictures(&prepare(&path, &profile(Resolution::P240, FrameRate::F50)).bytes);
    assert_eq!(fast.len(), 50);
    let left = |picture: &Picture| (0..WIDTH).find(|&x| picture.at(x, 120)[1] > 128 && x > 0);
    let moves = fast[10..30]
        .windows(2)
        .filter(|pair| left(&pair[0]) != left(&pair[1]))
        .count();
    assert!(moves >= 18, "{moves} of 19 pictures show another field");
}

#[test]
fn a_channel_that_crops_is_filled() {
    let dir = tempfile::tempdir().unwrap();
    let crops = Profile {
        treatment: Treatment {
            fit: Fit::Crop,
            ..Treatment::PLAIN
        },
        ..small()
    };
    // White, with a stripe of red along each edge that is cut off, and of blue along each that stays; rows or columns
    // of the stripes, and whether the sides are cut.
    let shapes = [
        ("four_to_three.mkv", (320, 240), "1", 27, false),
        ("wide.mkv", (640, 200), "1", 138, true),
        ("portrait.mkv", (180, 320), "1", 106, false),
        ("anamorphic.mkv", (360, 288), "16/15", 33, false),
        ("odd.mkv", (321, 241), "1", 27, false),
    ];
    for (name, (width, height), aspect, cut, sides) in shapes {
        let stripes = |colour: &str, thick: u32, sides: bool| match sides {
            true => format!(
                "drawbox=0:0:{thick}:ih:{colour}:fill,drawbox=iw-{thick}:0:{thick}:ih:{colour}:fill"
            ),
            false => format!(
                "drawbox=0:0:iw:{thick}:{colour}:fill,drawbox=0:ih-{thick}:iw:{thick}:{colour}:fill"
            ),
        };
        let source = format!(
            "color=white:s={width}x{height},format=gbrp,{},{},setsar={aspect}",
            stripes("blue", 12, !sides),
            stripes("red", cut, sides)
        );
        let path = shot(dir.path(), name, &source, &LOSSLESS);
        let found = probed(&path);
        let prepared = put(
            &bytes(&ffmpeg::prepare(&path, &found, &crops, Means::NONE)),
            &crops,
        );
        let picture = pictures(&prepared.bytes).swap_remove(0);
        picture.assert_near((WIDTH / 2, HEIGHT / 2), WHITE, name);
        let (middle, edge) = match sides {
            true => ((WIDTH / 2, 3), (8, HEIGHT / 2)),
            false => ((3, HEIGHT / 2), (WIDTH / 2, 8)),
        };
        picture.assert_near(middle, [0, 0, 255], name);
        picture.assert_near(edge, WHITE, &format!("{name}: no more is left"));
        let live = ffmpeg::live(&path, &found, &crops, Means::NONE, 0..4);
        let live = pictures(&bytes(&live)).swap_remove(0);
        live.assert_near(middle, [0, 0, 255], "live");
        live.assert_near(edge, WHITE, "live");
    }
    // No shape is too odd.
    for (name, size) in [("line.mkv", "2x1080"), ("bar.mkv", "1920x2")] {
        let path = shot(
            dir.path(),
            name,
            &format!("color=white:s={size}"),
            &LOSSLESS,
        );
        let line = ffmpeg::prepare(&path, &probed(&path), &crops, Means::NONE);
        let picture = pictures(&put(&bytes(&line), &crops).bytes).swap_remove(0);
        picture.assert_near((3, 3), WHITE, name);
    }
}

/// What FFprobe tells of the colours of a stream, and a stream of 16 steps of grey from black to white in it.
fn steps(stream: &[u8]) -> Vec<i32> {
    let picture = pictures(stream).swap_remove(0);
    let middle = |step: usize| (WIDTH * (2 * step + 1) / 32, HEIGHT / 2);
    (0..16)
        .map(|step| picture.at(middle(step).0, middle(step).1)[1])
        .collect()
}

#[test]
fn high_dynamic_range_keeps_its_steps_and_is_told_as_what_it_became() {
    let dir = tempfile::tempdir().unwrap();
    let source = "color=black:s=320x180,format=gbrp,geq=r='floor(X/20)*17':g='floor(X/20)*17':b='floor(X/20)*17'";
    let plain = shot(
        dir.path(),
        "plain.mkv",
        source,
        &["-c:v", "ffv1", "-pix_fmt", "gbrp"],
    );
    let wanted = steps(&prepare(&plain, &small()).bytes);
    for transfer in ["smpte2084", "arib-std-b67"] {
        let filter = format!(
            "zscale=tin=709:min=gbr:pin=709:rin=full:t={transfer}:m=2020_ncl:p=2020:r=limited:npl=203,format=yuv420p10le"
        );
        let params = format!(
            "log-level=error:crf=5:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
        );
        let options = [
            "-vf",
            &filter,
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            &params,
        ];
        let path = shot(dir.path(), &format!("{transfer}.mp4"), source, &options);
        let prepared = prepare(&path, &small()).bytes;
        let came = steps(&prepared);
        assert!(came.is_sorted(), "{transfer}: {came:?}");
        assert!(came[0] <= 8 && came[15] >= 205, "{transfer}: {came:?}");
        // Mobius bends only what is bright.
        for step in 1..12 {
            let off = (came[step] - wanted[step]).abs();
            assert!(
                off <= 20,
                "{transfer}, step {step}: {came:?} instead of {wanted:?}"
            );
        }
        let file = dir.path().join("prepared.ts");
        std::fs::write(&file, &prepared).unwrap();
        let told = std::process::Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "v", "-show_entries"])
            .arg("stream=pix_fmt,color_range,color_space,color_transfer,color_primaries")
            .args(["-of", "csv=p=0"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&told.stdout).lines().next(),
            Some("yuv420p,tv,bt709,bt709,bt709")
        );
    }
}
