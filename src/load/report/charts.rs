//! Charts as SVG, to be embedded in a page.

use plotters::prelude::*;

use super::SecondFigures;
use crate::load::error::LoadError;
use crate::load::latency::Buckets;

const SIZE: (u32, u32) = (860, 280);
const FIRST: RGBColor = RGBColor(0x2b, 0x6c, 0xb0);
const SECOND: RGBColor = RGBColor(0xc0, 0x56, 0x21);
/// Bars of a histogram, equally wide on a logarithmic axis.
const BARS: usize = 60;

struct ChartLine<'a> {
    name: &'a str,
    color: RGBColor,
    values: Vec<f64>,
}

/// Acknowledged events and arrived deliveries per second.
pub(crate) fn throughput(seconds: &[SecondFigures]) -> Result<String, LoadError> {
    lines(
        "per second",
        &[
            ChartLine { name: "events accepted", color: SECOND, values: column(seconds, |it| it.accepted as f64) },
            ChartLine { name: "deliveries", color: FIRST, values: column(seconds, |it| it.deliveries as f64) },
        ],
    )
}

/// End-to-end latency, second by second.
pub(crate) fn latency(seconds: &[SecondFigures]) -> Result<String, LoadError> {
    lines(
        "milliseconds",
        &[
            ChartLine { name: "p99", color: SECOND, values: column(seconds, |it| it.p99 as f64 / 1e3) },
            ChartLine { name: "p50", color: FIRST, values: column(seconds, |it| it.p50 as f64 / 1e3) },
        ],
    )
}

/// Distribution of the end-to-end latency.
pub(crate) fn histogram(buckets: &Buckets) -> Result<String, LoadError> {
    let log = |micros: u64| (micros.max(1) as f64).log10();
    let (Some(&(least, _)), Some(&(most, _))) = (buckets.0.first(), buckets.0.last()) else {
        return Ok(String::new());
    };
    let (least, most) = (log(least).floor(), log(most).ceil().max(log(least).floor() + 1.0));
    let width = (most - least) / BARS as f64;
    let mut bars = [0_u64; BARS];
    for &(micros, count) in &buckets.0 {
        bars[(((log(micros) - least) / width) as usize).min(BARS - 1)] += count;
    }
    let top = bars.iter().copied().max().unwrap_or(1) as f64;
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(least..most, 0.0..top * 1.05)?;
        let as_time = |value: &f64| super::table::duration(10_f64.powf(*value) as u64);
        chart
            .configure_mesh()
            .x_labels(8)
            .x_label_formatter(&as_time)
            .y_desc("deliveries")
            .max_light_lines(1)
            .draw()?;
        chart.draw_series(bars.iter().enumerate().map(|(index, count)| {
            let from = least + width * index as f64;
            Rectangle::new([(from, 0.0), (from + width, *count as f64)], FIRST.filled())
        }))?;
        Ok(())
    })
}

fn column(seconds: &[SecondFigures], value: impl Fn(&SecondFigures) -> f64) -> Vec<f64> {
    seconds.iter().map(value).collect()
}

fn lines(unit: &str, lines: &[ChartLine<'_>]) -> Result<String, LoadError> {
    let last = lines.iter().map(|line| line.values.len()).max().unwrap_or(0).max(2) - 1;
    let top = lines.iter().flat_map(|line| &line.values).copied().fold(1.0, f64::max);
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..last as f64, 0.0..top * 1.05)?;
        chart.configure_mesh().x_desc("seconds").y_desc(unit).max_light_lines(1).draw()?;
        for line in lines {
            let points = line.values.iter().enumerate().map(|(second, value)| (second as f64, *value));
            let color = line.color;
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.2)).draw()?;
        Ok(())
    })
}

type ChartArea<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawingError = Box<dyn std::error::Error>;

fn draw(what: impl FnOnce(&ChartArea<'_>) -> Result<(), DrawingError>) -> Result<String, LoadError> {
    let mut svg = String::new();
    let drawn = (|| {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        what(&area)?;
        area.present()?;
        Ok::<(), DrawingError>(())
    })();
    drawn.map_err(|error| LoadError::Drawing(error.to_string()))?;
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_are_drawn_for_many_few_and_no_values() {
        let second = SecondFigures { accepted: 100, deliveries: 1_000, p50: 1_200, p99: 9_000 };
        for seconds in [vec![], vec![second], vec![second, SecondFigures::default(), second]] {
            for svg in [throughput(&seconds).unwrap(), latency(&seconds).unwrap()] {
                assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            }
        }
        assert_eq!(histogram(&Buckets::default()).unwrap(), "");
        let svg = histogram(&Buckets(vec![(900, 5), (1_100, 50), (60_000_000, 1)])).unwrap();
        assert!(svg.contains("1.0 ms") && svg.contains("60.00 s") || svg.contains("10.00 s"), "{svg}");
    }
}
