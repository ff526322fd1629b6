//! Points, boxes and the similarity transform: plain geometry in image pixels.
//! Nothing here knows of images, networks or faces' identities.

use rollcall_schemas::sighting;
use serde::{Deserialize, Serialize};

/// A point in image pixels, the origin at the top left.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Pixels to the right.
    pub x: f32,
    /// Pixels down.
    pub y: f32,
}

impl Point {
    /// A point at (`x`, `y`).
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// The point half way to `other`.
    pub fn midpoint(self, other: Self) -> Self {
        Self::new((self.x + other.x) / 2.0, (self.y + other.y) / 2.0)
    }

    /// The distance to `other` in pixels.
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// Five landmarks: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
pub type Landmarks = [Point; 5];

/// An axis-parallel box in image pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BoundingBox {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Right edge, not before `left`.
    pub right: f32,
    /// Bottom edge, not above `top`.
    pub bottom: f32,
}

impl BoundingBox {
    /// Width in pixels.
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    /// Height in pixels.
    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    /// Area in square pixels; 0 for an inverted box.
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// The area shared with `other`.
    pub fn intersection(&self, other: &Self) -> f32 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    /// The part of the box inside an image of this size.
    pub fn clipped(&self, width: u32, height: u32) -> Self {
        let (width, height) = (width as f32, height as f32);
        Self {
            left: self.left.clamp(0.0, width),
            top: self.top.clamp(0.0, height),
            right: self.right.clamp(0.0, width),
            bottom: self.bottom.clamp(0.0, height),
        }
    }

    /// The square of the longer side around the same centre.
    pub fn squared(&self) -> Self {
        let half = self.width().max(self.height()) / 2.0;
        let (x, y) = ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0);
        Self { left: x - half, top: y - half, right: x + half, bottom: y + half }
    }

    /// The box with each edge moved outwards by `share` of the box's size.
    pub fn with_margin(&self, share: f32) -> Self {
        let (dx, dy) = (self.width() * share, self.height() * share);
        Self { left: self.left - dx, top: self.top - dy, right: self.right + dx, bottom: self.bottom + dy }
    }

    /// All coordinates times `factor`.
    pub fn scaled(&self, factor: f32) -> Self {
        Self {
            left: self.left * factor,
            top: self.top * factor,
            right: self.right * factor,
            bottom: self.bottom * factor,
        }
    }
}

/// In the words of the contract.
impl From<&BoundingBox> for sighting::BoundingBox {
    fn from(area: &BoundingBox) -> Self {
        Self { x: area.left, y: area.top, width: area.width(), height: area.height() }
    }
}

/// What an overlap is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// Intersection over union.
    Union,
    /// Intersection over the smaller of the two areas.
    Minimum,
}

impl Overlap {
    fn of(self, a: &BoundingBox, b: &BoundingBox) -> f32 {
        let shared = a.intersection(b);
        if shared == 0.0 {
            return 0.0;
        }
        let whole = match self {
            Self::Union => a.area() + b.area() - shared,
            Self::Minimum => a.area().min(b.area()),
        };
        shared / whole
    }
}

/// Something found at a place with a score: what non-maximum suppression works on.
pub(crate) trait Scored {
    /// Where it is.
    fn bounding_box(&self) -> &BoundingBox;
    /// How sure the detector is; higher is surer.
    fn score(&self) -> f32;
}

/// Greedy non-maximum suppression: from the highest score down, keeps what overlaps nothing kept by more than
/// `threshold`. The result is ordered by falling score.
pub(crate) fn suppress_overlaps<T: Scored>(mut found: Vec<T>, threshold: f32, overlap: Overlap) -> Vec<T> {
    found.sort_by(|a, b| b.score().total_cmp(&a.score()));
    let mut kept: Vec<T> = Vec::with_capacity(found.len());
    for candidate in found {
        if kept.iter().all(|other| overlap.of(other.bounding_box(), candidate.bounding_box()) <= threshold) {
            kept.push(candidate);
        }
    }
    kept
}

/// A similarity transform `p -> (a*x - b*y + tx, b*x + a*y + ty)`: rotation, uniform scale and shift, no reflection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    a: f32,
    b: f32,
    tx: f32,
    ty: f32,
}

impl Similarity {
    /// The least-squares similarity that takes `from` to `to` (S. Umeyama, "Least-squares estimation of transformation
    /// parameters between two point patterns", 1991). In the plane the general solution by singular values reduces to
    /// one complex division: with both sets centred, `a + ib = sum(conj(z) * w) / sum(|z|^2)`.
    ///
    /// `None` where the points of `from` coincide.
    pub fn estimate(from: &[Point], to: &[Point]) -> Option<Self> {
        let (from_centre, to_centre) = (centroid(from), centroid(to));
        let (mut real, mut imaginary, mut spread) = (0.0f64, 0.0f64, 0.0f64);
        for (z, w) in from.iter().zip(to) {
            let (zx, zy) = (f64::from(z.x - from_centre.x), f64::from(z.y - from_centre.y));
            let (wx, wy) = (f64::from(w.x - to_centre.x), f64::from(w.y - to_centre.y));
            real += zx * wx + zy * wy;
            imaginary += zx * wy - zy * wx;
            spread += zx * zx + zy * zy;
        }
        if spread <= f64::EPSILON {
            return None;
        }
        let (a, b) = ((real / spread) as f32, (imaginary / spread) as f32);
        let tx = to_centre.x - (a * from_centre.x - b * from_centre.y);
        let ty = to_centre.y - (b * from_centre.x + a * from_centre.y);
        Some(Self { a, b, tx, ty })
    }

    /// The uniform scale.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }

    /// Where `point` goes.
    pub fn apply(&self, point: Point) -> Point {
        Point::new(
            self.a * point.x - self.b * point.y + self.tx,
            self.b * point.x + self.a * point.y + self.ty,
        )
    }

    /// The transform that undoes this one. Its scale must not be 0, which `estimate` guarantees for a fit between
    /// two sets of distinct points.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }
}

fn centroid(points: &[Point]) -> Point {
    let count = points.len() as f32;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.x, y + point.y));
    Point::new(x / count, y / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    struct Found(BoundingBox, f32);

    impl Scored for Found {
        fn bounding_box(&self) -> &BoundingBox {
            &self.0
        }

        fn score(&self) -> f32 {
            self.1
        }
    }

    fn found() -> impl Strategy<Value = Found> {
        (0.0f32..100.0, 0.0f32..100.0, 1.0f32..60.0, 1.0f32..60.0, 0.0f32..1.0).prop_map(
            |(left, top, w, h, score)| {
                Found(BoundingBox { left, top, right: left + w, bottom: top + h }, score)
            },
        )
    }

    fn point() -> impl Strategy<Value = Point> {
        (-100.0f32..100.0, -100.0f32..100.0).prop_map(|(x, y)| Point::new(x, y))
    }

    proptest! {
        #[test]
        fn suppression_keeps_no_two_that_overlap_and_drops_none_without_a_better_one(
            all in prop::collection::vec(found(), 0..40),
            threshold in 0.1f32..0.9,
        ) {
            for overlap in [Overlap::Union, Overlap::Minimum] {
                let kept = suppress_overlaps(all.clone(), threshold, overlap);
                for (index, a) in kept.iter().enumerate() {
                    for b in &kept[index + 1..] {
                        prop_assert!(a.1 >= b.1 && overlap.of(&a.0, &b.0) <= threshold);
                    }
                }
                for dropped in all.iter().filter(|one| !kept.iter().any(|kept| kept.0 == one.0)) {
                    prop_assert!(kept.iter().any(|k| k.1 >= dropped.1 && overlap.of(&k.0, &dropped.0) > threshold));
                }
            }
        }

        #[test]
        fn a_similarity_is_recovered_from_its_own_points(
            points in prop::collection::vec(point(), 5),
            scale in 0.1f32..4.0,
            angle in -3.0f32..3.0,
            shift in point(),
        ) {
            prop_assume!(points[0].distance(points[1]) > 1.0);
            let truth = Similarity { a: scale * angle.cos(), b: scale * angle.sin(), tx: shift.x, ty: shift.y };
            let moved: Vec<Point> = points.iter().map(|&p| truth.apply(p)).collect();
            let found = Similarity::estimate(&points, &moved).unwrap();
            prop_assert!((found.scale() - scale).abs() < 1e-3 * scale);
            for (&from, &to) in points.iter().zip(&moved) {
                prop_assert!(found.apply(from).distance(to) < 0.05);
                prop_assert!(found.inverse().apply(to).distance(from) < 0.05 / scale);
            }
        }

        #[test]
        fn no_other_similarity_fits_better(
            from in prop::collection::vec(point(), 5),
            to in prop::collection::vec(point(), 5),
            nudge in (-0.1f32..0.1, -0.1f32..0.1, -3.0f32..3.0, -3.0f32..3.0),
        ) {
            prop_assume!(from[0].distance(from[1]) > 1.0);
            let best = Similarity::estimate(&from, &to).unwrap();
            let error = |fit: &Similarity| -> f64 {
                from.iter().zip(&to).map(|(&f, &t)| f64::from(fit.apply(f).distance(t)).powi(2)).sum()
            };
            let (a, b, tx, ty) = nudge;
            let other = Similarity { a: best.a + a, b: best.b + b, tx: best.tx + tx, ty: best.ty + ty };
            prop_assert!(error(&best) <= error(&other) * (1.0 + 1e-4) + 1e-2);
        }
    }

    #[test]
    fn coinciding_points_have_no_similarity() {
        let points = [Point::new(3.0, 4.0); 5];
        assert_eq!(Similarity::estimate(&points, &points), None);
    }

    #[test]
    fn overlaps_are_measured_against_the_union_or_the_smaller() {
        let whole = BoundingBox { left: 0.0, top: 0.0, right: 10.0, bottom: 10.0 };
        let quarter = BoundingBox { left: 0.0, top: 0.0, right: 5.0, bottom: 5.0 };
        assert_eq!(Overlap::Union.of(&whole, &quarter), 0.25);
        assert_eq!(Overlap::Minimum.of(&whole, &quarter), 1.0);
        let empty = BoundingBox { left: 2.0, top: 2.0, right: 2.0, bottom: 2.0 };
        assert_eq!(Overlap::Union.of(&empty, &empty), 0.0);
    }
}
