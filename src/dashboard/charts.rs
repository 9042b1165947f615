//! Charts as SVG, drawn on the server: they follow the theme, work without scripts, and have a text alternative.

use maud::{Markup, html};

/// The drawing's own units; it is stretched to its container, and labels are HTML next to it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;
/// Labels below a chart; more would overlap.
const LABELS: usize = 6;

pub(crate) struct Step {
    /// The label below it.
    pub label: String,
    /// The tooltip.
    pub title: String,
}

/// One series of bars or lines.
pub(crate) struct Series<'a> {
    pub name: &'static str,
    /// The CSS class.
    pub class: &'a str,
    /// One per step; `None` without data.
    pub values: Vec<Option<f64>>,
}

/// Stacked bars.
pub(crate) fn bars(summary: &str, steps: &[Step], series: &[Series<'_>]) -> Markup {
    let sums = (0..steps.len()).map(|at| series.iter().filter_map(|it| it.values[at]).sum::<f64>());
    let scale = Scale::up_to(sums.fold(0.0, f64::max), short);
    let width = WIDTH / steps.len().max(1) as f64;
    let columns: Vec<Vec<(f64, f64, &str)>> = (0..steps.len()).map(|at| stack(&scale, series, at)).collect();
    let drawn = html! {
        @for (at, column) in columns.iter().enumerate() {
            @for (y, height, class) in column {
                rect class=(class) x=(round(at as f64 * width + width * 0.12)) y=(round(*y)) width=(round(width * 0.76)) height=(round(*height)) {}
            }
        }
    };
    frame(summary, steps, series, &scale, &drawn)
}

/// The parts of a bar from the bottom up: position, height and class.
fn stack<'a>(scale: &Scale, series: &[Series<'a>], at: usize) -> Vec<(f64, f64, &'a str)> {
    let mut below = 0.0;
    let parts = series.iter().filter_map(|it| Some((it.values[at].filter(|value| *value > 0.0)?, it.class)));
    let part = |(value, class)| {
        below += value;
        // even the smallest value stays visible
        (scale.y(below), (scale.y(0.0) - scale.y(value)).max(1.5), class)
    };
    parts.map(part).collect()
}

/// Lines, interrupted at steps without a value. `unit` formats the axis.
pub(crate) fn lines(summary: &str, steps: &[Step], series: &[Series<'_>], unit: fn(f64) -> String) -> Markup {
    let values = series.iter().flat_map(|it| it.values.iter().flatten());
    draw_lines(summary, steps, series, &Scale::up_to(values.fold(0.0, |most, value| most.max(*value)), unit))
}

/// Percentages: the axis ends at 100 and starts where it shows the losses.
pub(crate) fn percentages(summary: &str, steps: &[Step], series: &[Series<'_>]) -> Markup {
    draw_lines(summary, steps, series, &Scale::of_percent(series.iter().flat_map(|it| it.values.iter().flatten())))
}

fn draw_lines(summary: &str, steps: &[Step], series: &[Series<'_>], scale: &Scale) -> Markup {
    let width = WIDTH / steps.len().max(1) as f64;
    let point =
        |(at, value): &(usize, f64)| format!("{},{}", round((*at as f64 + 0.5) * width), round(scale.y(*value)));
    let drawn = html! {
        @for it in series {
            @for run in runs(&it.values) {
                @let points: Vec<String> = run.iter().map(point).collect();
                // a line with a single point is a dot
                @if let [only] = points.as_slice() { polyline.dot.(it.class) points={ (only) " " (only) } {} }
                @else { polyline.(it.class) points=(points.join(" ")) {} }
            }
        }
    };
    frame(summary, steps, series, scale, &drawn)
}

/// Runs of consecutive steps with values.
fn runs(values: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let mut runs: Vec<Vec<(usize, f64)>> = Vec::new();
    let mut is_open = false;
    for (at, value) in values.iter().enumerate() {
        match (value, is_open) {
            (Some(value), true) => runs.last_mut().into_iter().for_each(|run| run.push((at, *value))),
            (Some(value), false) => runs.push(vec![(at, *value)]),
            (None, _) => {}
        }
        is_open = value.is_some();
    }
    runs
}

/// A chart with its legend and axes. Labels are HTML, so that stretching does not distort them.
fn frame(summary: &str, steps: &[Step], series: &[Series<'_>], scale: &Scale, drawn: &Markup) -> Markup {
    let width = WIDTH / steps.len().max(1) as f64;
    let every = steps.len().div_ceil(LABELS).max(1);
    html! {
        ul.legend { @for it in series { li { i.(it.class) {} (it.name) } } }
        div.plot {
            div.axis-y aria-hidden="true" { @for (_, name) in scale.marks.iter().rev() { span { (name) } } }
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(summary) {
                @for (value, _) in &scale.marks {
                    line.grid x1="0" x2=(WIDTH) y1=(round(scale.y(*value))) y2=(round(scale.y(*value))) {}
                }
                (drawn)
                @for (at, step) in steps.iter().enumerate() {
                    rect.hit x=(round(at as f64 * width)) y="0" width=(round(width)) height=(HEIGHT) { title { (step.title) } }
                }
            }
            div.axis-x aria-hidden="true" { @for step in steps.iter().step_by(every) { span { (step.label) } } }
        }
    }
}

/// A sparkline: successes and failures per step.
pub(crate) fn spark(summary: &str, steps: &[(u64, u64)]) -> Markup {
    let most = steps.iter().map(|(good, bad)| good + bad).max().unwrap_or(0).max(1) as f64;
    let width = 120.0 / steps.len().max(1) as f64;
    html! {
        svg.spark viewBox="0 0 120 27" preserveAspectRatio="none" role="img" aria-label=(summary) {
            title { (summary) }
            @for (at, (good, bad)) in steps.iter().enumerate() {
                @let (x, breadth) = (round(at as f64 * width), round(width * 0.75));
                @let (good, bad) = (*good as f64 / most * 25.0, *bad as f64 / most * 25.0);
                @if good + bad == 0.0 { rect.none x=(x) y="26" width=(breadth) height="1" {} }
                @if good > 0.0 { rect.ok x=(x) y=(round(27.0 - good.max(1.0))) width=(breadth) height=(round(good.max(1.0))) {} }
                @if bad > 0.0 { rect.bad x=(x) y=(round(27.0 - good - bad.max(1.5))) width=(breadth) height=(round(bad.max(1.5))) {} }
            }
        }
    }
}

/// An axis between round numbers that contains all values.
struct Scale {
    least: f64,
    most: f64,
    marks: Vec<(f64, String)>,
}

impl Scale {
    fn up_to(most: f64, unit: fn(f64) -> String) -> Self {
        let step = round_step(most.max(4.0) / 4.0);
        let count = (most.max(1.0) / step).ceil().max(1.0) as u32;
        let marks = (0..=count).map(|at| f64::from(at) * step);
        Self {
            least: 0.0,
            most: f64::from(count) * step,
            marks: marks.map(|value| (value, unit(value))).collect(),
        }
    }

    fn of_percent<'a>(values: impl Iterator<Item = &'a f64>) -> Self {
        let smallest = values.fold(100.0, |least: f64, value| least.min(*value));
        // four steps of 25, 5 or 1 percent
        let step = [1.0, 5.0, 25.0].into_iter().find(|step| 100.0 - step * 4.0 <= smallest).unwrap_or(25.0);
        let least = 100.0 - step * 4.0;
        let marks = (0..=4).map(|at| least + f64::from(at) * step);
        Self { least, most: 100.0, marks: marks.map(|value| (value, format!("{value} %"))).collect() }
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.least) / (self.most - self.least);
        HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }
}

fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least).unwrap_or(least)
}

/// A short form of a number.
pub(crate) fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", round(value / 1e6)),
        value if value >= 1e4 => format!("{} k", round(value / 1e3)),
        value => format!("{}", round(value)),
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(count: usize) -> Vec<Step> {
        (0..count).map(|at| Step { label: format!("l{at}"), title: format!("t{at}") }).collect()
    }

    #[test]
    fn an_axis_ends_at_a_round_number_above_all_values() {
        for (most, end) in
            [(0.0, 1.0), (1.0, 1.0), (3.0, 3.0), (7.0, 8.0), (99.0, 100.0), (1_234.0, 1_500.0), (2e6, 2e6)]
        {
            let scale = Scale::up_to(most, short);
            assert_eq!(scale.most, end, "{most}");
            assert!(scale.marks.len() <= 6, "{:?}", scale.marks);
        }
    }

    #[test]
    fn a_percentage_axis_ends_at_100_and_shows_the_losses() {
        for (values, least) in [(&[99.5, 100.0][..], 96.0), (&[83.0], 80.0), (&[12.0, 99.0], 0.0), (&[], 96.0)] {
            let scale = Scale::of_percent(values.iter());
            assert_eq!((scale.least, scale.most), (least, 100.0), "{values:?}");
        }
    }

    #[test]
    fn a_chart_without_data_is_valid() {
        let series = [Series { name: "ok", class: "ok", values: vec![None, Some(0.0)] }];
        assert!(bars("nothing", &steps(2), &series).into_string().contains("aria-label=\"nothing\""));
        assert!(lines("nothing", &[], &[], short).into_string().contains("</svg>"));
        assert!(!spark("none", &[]).into_string().contains("NaN"));
    }

    #[test]
    fn a_line_is_interrupted_where_data_is_missing() {
        let values = [Some(1.0), Some(2.0), None, Some(3.0)];
        assert_eq!(runs(&values), [vec![(0, 1.0), (1, 2.0)], vec![(3, 3.0)]]);
    }

    #[test]
    fn a_single_failure_among_thousands_is_visible() {
        let series = [
            Series { name: "ok", class: "ok", values: vec![Some(100_000.0)] },
            Series { name: "bad", class: "bad", values: vec![Some(1.0)] },
        ];
        let drawn = bars("x", &steps(1), &series).into_string();
        assert!(drawn.contains("class=\"bad\"") && drawn.contains("height=\"1.5\""), "{drawn}");
    }
}
