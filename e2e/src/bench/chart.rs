//! A race as a picture: a bar for each line, as long as it took.

use std::fmt::Write;

use super::race::{Outcome, Quantity, Race};
use super::table::seconds;

const WIDTH: f64 = 860.0;
/// Where the bars begin: the lines are named to their left.
const LEFT: f64 = 270.0;
/// What a bar's figures take to its right.
const RIGHT: f64 = 200.0;
const TOP: f64 = 48.0;
const ROW: f64 = 30.0;

/// Draws the medians of wall and CPU time (SVG 1.1).
pub(crate) fn svg(race: &Race, outcome: &Outcome) -> String {
    let rows = race.lines.len();
    let height = TOP + ROW * rows as f64 + 12.0;
    let wall = |row| outcome.quantity(row, Quantity::Wall);
    let longest = (0..rows).map(wall).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / longest;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>\n",
        escaped(race.title)
    );
    for (row, line) in race.lines.iter().enumerate() {
        let top = TOP + ROW * row as f64;
        let (wall, cpu) = (wall(row), outcome.median(row, |run| run.cpu));
        let length = wall * scale;
        let colour = match line.starts_with("pgdump-gz") {
            true => "#1f6feb",
            false => "#b8bfc8",
        };
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" font-family=\"monospace\">{}</text>\n\
             <rect x=\"{LEFT:.0}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.0}\">{}, {} of CPU</text>",
            LEFT - 10.0,
            top + 18.0,
            escaped(line),
            top + 4.0,
            ROW - 10.0,
            LEFT + length + 8.0,
            top + 18.0,
            seconds(wall),
            seconds(cpu),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Text as XML writes it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::measure::Measured;
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_line_took() {
        let race = Race {
            title: "a race",
            lines: vec!["a > b".into(), "c".into()],
            ..Race::default()
        };
        let run = |wall| Measured {
            wall,
            ..Measured::default()
        };
        let outcome = Outcome {
            rows: vec![vec![run(1.0)], vec![run(2.0)]],
        };
        let svg = svg(&race, &outcome);
        assert!(svg.contains("a &gt; b"), "{svg}");
        assert!(
            svg.contains("width=\"195.0\"") && svg.contains("width=\"390.0\""),
            "{svg}"
        );
    }
}
