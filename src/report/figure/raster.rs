//! A scene in pixels, as PNG. Knows nothing of charts.

use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

use super::FigureError;
use super::glyphs::{self, glyph};
use super::scene::{Anchor, Colour, Form, Item, Pen, Scene, Text};

/// Pixels to a unit of the scene, both ways: 192 to an inch.
const SCALE: f32 = 2.0;
/// The same, as PNG tells it.
const PIXELS_PER_METRE: u32 = 7559;
/// More pixels than any screen or page has: 200 MB while they are drawn.
const MOST_PIXELS: f64 = 5e7;

/// Draws a scene, two pixels to its unit, in RGB of eight bits.
pub(super) fn png(scene: &Scene) -> Result<Vec<u8>, FigureError> {
    let [width, height] = scene.size.map(|side| (side * f64::from(SCALE)).round().max(1.0));
    let too_large = || FigureError::TooLarge { width, height };
    if width * height > MOST_PIXELS {
        return Err(too_large());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1, checked above")]
    let (width, height) = (width as u32, height as u32);
    let mut pixels = Pixmap::new(width, height).ok_or_else(too_large)?;
    pixels.fill(tiny_skia::Color::WHITE);
    for item in &scene.items {
        match item {
            Item::Shape { form, fill, pen, .. } => {
                let Some(path) = outline(form) else { continue };
                if let Some(fill) = fill {
                    let paint = paint(fill.colour, fill.opacity);
                    pixels.fill_path(&path, &paint, FillRule::Winding, to_pixels(), None);
                }
                if let Some(pen) = pen {
                    pixels.stroke_path(&path, &paint(pen.colour, 1.0), &stroke(*pen), to_pixels(), None);
                }
            }
            Item::Text(text) => {
                if let Some(path) = text_outline(text) {
                    let paint = paint(text.colour, 1.0);
                    pixels.fill_path(&path, &paint, FillRule::Winding, to_pixels(), None);
                }
            }
        }
    }
    encode(&pixels)
}

fn to_pixels() -> Transform {
    Transform::from_scale(SCALE, SCALE)
}

fn encode(pixels: &Pixmap) -> Result<Vec<u8>, FigureError> {
    // On white ground every pixel is opaque.
    let rgb: Vec<u8> = pixels.data().chunks_exact(4).flat_map(|rgba| [rgba[0], rgba[1], rgba[2]]).collect();
    let mut out = vec![];
    let mut encoder = png::Encoder::new(&mut out, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: PIXELS_PER_METRE,
        yppu: PIXELS_PER_METRE,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rgb)?;
    writer.finish()?;
    Ok(out)
}

fn outline(form: &Form) -> Option<Path> {
    match form {
        Form::Rect { corner: [x, y], size: [width, height] } => {
            Rect::from_xywh(single(*x), single(*y), single(*width), single(*height))
                .map(PathBuilder::from_rect)
        }
        Form::Circle { centre: [x, y], radius } => {
            PathBuilder::from_circle(single(*x), single(*y), single(*radius))
        }
        Form::Line(points) => through(points).finish(),
        Form::Polygon(points) => {
            let mut path = through(points);
            path.close();
            path.finish()
        }
    }
}

fn through(points: &[[f64; 2]]) -> PathBuilder {
    let mut path = PathBuilder::new();
    for (i, [x, y]) in points.iter().enumerate() {
        if i == 0 {
            path.move_to(single(*x), single(*y));
        } else {
            path.line_to(single(*x), single(*y));
        }
    }
    path
}

fn text_outline(text: &Text) -> Option<Path> {
    let size = single(text.size);
    let mut path = PathBuilder::new();
    let mut pen = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -0.5 * glyphs::width(&text.words, 1.0),
        Anchor::End => -glyphs::width(&text.words, 1.0),
    };
    for c in text.words.chars() {
        let glyph = glyph(c);
        let left = single(pen);
        for stroke in &glyph.outline {
            let at = |[x, y]: [f32; 2]| ((x + left) * size, -y * size);
            match *stroke {
                glyphs::Stroke::Move(to) => path.move_to(at(to).0, at(to).1),
                glyphs::Stroke::Line(to) => path.line_to(at(to).0, at(to).1),
                glyphs::Stroke::Curve(control, to) => {
                    path.quad_to(at(control).0, at(control).1, at(to).0, at(to).1);
                }
                glyphs::Stroke::Close => path.close(),
            }
        }
        pen += glyph.advance;
    }
    let [x, y] = text.at.map(single);
    path.finish()?.transform(Transform::from_rotate(single(text.turned)).post_translate(x, y))
}

fn paint(Colour(red, green, blue): Colour, opacity: f64) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
    paint.set_color_rgba8(red, green, blue, (opacity.clamp(0.0, 1.0) * 255.0).round() as u8);
    paint
}

fn stroke(pen: Pen) -> Stroke {
    let dash = pen.dash.iter().map(|length| single(*length)).collect();
    Stroke {
        width: single(pen.width),
        line_cap: LineCap::Butt,
        line_join: LineJoin::Round,
        dash: StrokeDash::new(dash, 0.0),
        ..Stroke::default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "places in a picture")]
fn single(value: f64) -> f32 {
    value as f32
}
