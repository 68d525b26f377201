//! Plots as SVG: bars and lines with plain axes. It owns geometry; colours are the style sheet's. Positions are attributes, so that no
//! inline style is needed.

use maud::{Markup, html};

/// Width of a plot, in its own units.
pub(super) const WIDTH: u32 = 720;
const HEIGHT: u32 = 180;
const LEFT: u32 = 62;
const BOTTOM: u32 = 22;
const TOP: u32 = 8;
/// Points that one line has at most; more are thinned out.
const POINTS_MAX: usize = 600;
/// Lines that have a look of their own.
pub(super) const LINES_MAX: usize = 8;

/// A bar of a plot.
pub(super) struct Bar {
    pub(super) value: f64,
    /// The class of its colour.
    pub(super) class: String,
    /// What it says when it is pointed at.
    pub(super) label: String,
    pub(super) link: String,
}

/// A line of a plot.
pub(super) struct Line {
    pub(super) name: String,
    /// x and y, in the order of x.
    pub(super) points: Vec<(f64, f64)>,
}

/// Bars from left to right. `say` names a value of the axis.
pub(super) fn bars(title: &str, bars: &[Bar], say: &dyn Fn(f64) -> String) -> Markup {
    let top = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let scale = Scale::new(0.0, top);
    let count = u32::try_from(bars.len()).unwrap_or(u32::MAX).max(1);
    let step = f64::from(WIDTH - LEFT - 8) / f64::from(count);
    let wide = (step * 0.72).clamp(1.0, 26.0);
    html! {
        svg.chart viewBox={"0 0 " (WIDTH) " " (HEIGHT)} role="group" aria-label=(title) preserveAspectRatio="xMinYMin meet" {
            (axis(&scale, say))
            @for (place, bar) in bars.iter().enumerate() {
                @let x = f64::from(LEFT) + 4.0 + step * real(place);
                @let y = scale.y(bar.value);
                a href=(bar.link) {
                    rect class={"column " (bar.class)} x=(coordinate(x)) y=(coordinate(y)) width=(coordinate(wide)) height=(coordinate((f64::from(HEIGHT - BOTTOM) - y).max(1.0))) rx="1" {
                        title { (bar.label) }
                    }
                }
            }
        }
    }
}

/// Lines over a common axis.
pub(super) fn lines(title: &str, lines: &[Line], say: &dyn Fn(f64) -> String) -> Markup {
    let all = || {
        lines
            .iter()
            .flat_map(|line| &line.points)
            .filter(|(_, y)| y.is_finite())
    };
    let range = |pick: fn(&(f64, f64)) -> f64| {
        let low = all().map(pick).fold(f64::INFINITY, f64::min);
        let high = all().map(pick).fold(f64::NEG_INFINITY, f64::max);
        if low.is_finite() {
            (low, high)
        } else {
            (0.0, 1.0)
        }
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    let scale = Scale::new(low, high);
    let span = if right > left { right - left } else { 1.0 };
    let place = |x: f64| f64::from(LEFT) + 6.0 + (x - left) / span * f64::from(WIDTH - LEFT - 16);
    html! {
        figure.plot {
            svg.chart viewBox={"0 0 " (WIDTH) " " (HEIGHT)} role="img" aria-label=(title) preserveAspectRatio="xMinYMin meet" {
                (axis(&scale, say))
                text.tick x=(LEFT) y=(HEIGHT - 6) { (super::show::number(left)) }
                text.tick x=(WIDTH - 8) y=(HEIGHT - 6) text-anchor="end" { (super::show::number(right)) }
                @for (number, line) in lines.iter().enumerate() {
                    @let points = thin(&line.points);
                    @if points.len() == 1 {
                        @for (x, y) in &points {
                            circle class={"dot line-" (number % LINES_MAX)} cx=(coordinate(place(*x))) cy=(coordinate(scale.y(*y))) r="3" { title { (line.name) } }
                        }
                    } @else {
                        polyline class={"line line-" (number % LINES_MAX)} points=(path(&points, &place, &scale)) { title { (line.name) } }
                    }
                }
            }
            @if lines.len() > 1 {
                figcaption {
                    @for (number, line) in lines.iter().enumerate() {
                        span class={"key line-" (number % LINES_MAX)} { (line.name) }
                    }
                }
            }
        }
    }
}

fn path(points: &[(f64, f64)], place: &dyn Fn(f64) -> f64, scale: &Scale) -> String {
    let point =
        |(x, y): &(f64, f64)| format!("{},{}", coordinate(place(*x)), coordinate(scale.y(*y)));
    points.iter().map(point).collect::<Vec<_>>().join(" ")
}

/// Every n-th point, and the last one.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<_> = points
        .iter()
        .copied()
        .filter(|(_, y)| y.is_finite())
        .collect();
    let step = finite.len().div_ceil(POINTS_MAX).max(1);
    let mut kept: Vec<_> = finite.iter().copied().step_by(step).collect();
    if let (Some(last), true) = (finite.last(), step > 1) {
        kept.push(*last);
    }
    kept
}

fn axis(scale: &Scale, say: &dyn Fn(f64) -> String) -> Markup {
    let marks = [0.0, 0.5, 1.0].map(|part| scale.low + (scale.high - scale.low) * part);
    html! {
        @for value in marks {
            @let y = scale.y(value);
            line.rule x1=(LEFT) x2=(WIDTH - 8) y1=(coordinate(y)) y2=(coordinate(y)) {}
            text.tick x=(LEFT - 6) y=(coordinate(y + 4.0)) text-anchor="end" { (say(value)) }
        }
    }
}

struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn new(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high }
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        f64::from(HEIGHT - BOTTOM) - part * f64::from(HEIGHT - BOTTOM - TOP)
    }
}

fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

#[expect(clippy::cast_precision_loss, reason = "places are far below 2^52")]
fn real(place: usize) -> f64 {
    place as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_one_point_is_a_dot_and_what_is_no_number_is_left_out() {
        let line = Line {
            name: "auc".to_owned(),
            points: vec![(1.0, 0.5), (2.0, f64::NAN)],
        };
        let text = lines("auc", &[line], &super::super::show::number).into_string();
        assert!(text.contains("<circle") && !text.contains("NaN"));
    }

    #[test]
    fn long_lines_are_thinned_to_their_last_point() {
        let points: Vec<_> = (0..10_000).map(|x| (f64::from(x), 1.0)).collect();
        let kept = thin(&points);
        assert!(kept.len() <= POINTS_MAX + 1);
        assert_eq!(kept.last(), points.last());
    }
}
