//! What the documentation shows of the lifecycle is made from its table, and drawn by nobody.
//!
//! After a change of the table, `UPDATE=1 cargo test -p nosphere-core lifecycle` writes it anew.

use std::fs;
use std::path::Path;

use nosphere_core::State;
use nosphere_core::lifecycle::{LIFECYCLE, Transition};

#[test]
fn the_documented_table_is_the_one_that_runs() {
    let rows = LIFECYCLE.iter().map(|row| {
        let output = row.output.map_or_else(String::new, |output| format!("`{output:?}`"));
        format!("| `{:?}` | `{:?}` | `{:?}` | {output} |\n", row.from, row.input, row.to)
    });
    let head = "An input without a row changes nothing.\n\n| in | on | goes to | and says |\n|---|---|---|---|\n";
    is_committed("lifecycle.md", &(head.to_owned() + &rows.collect::<String>()));
}

#[test]
fn the_documented_diagram_shows_the_table_that_runs() {
    is_committed("lifecycle.svg", &diagram(&LIFECYCLE));
}

#[test]
fn a_row_more_or_less_or_another_one_is_another_diagram() {
    let whole = diagram(&LIFECYCLE);
    for (at, row) in LIFECYCLE.iter().enumerate() {
        let mut rows = LIFECYCLE.to_vec();
        rows.remove(at);
        assert_ne!(diagram(&rows), whole, "{row:?} is not in it");
        rows.insert(at, Transition { output: None, ..*row });
        assert_eq!(diagram(&rows) == whole, row.output.is_none(), "{row:?}");
    }
}

/// Fails if a file of `core/src` does not hold this text.
fn is_committed(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "core/src/{name} is old: UPDATE=1 cargo test -p nosphere-core lifecycle\n{text}");
}

/// Where the box of a state is. An arrow between two rows is a straight line down, through where only its two boxes are.
struct Place {
    state: State,
    left: i32,
    right: i32,
    top: i32,
    /// Where an arrow leaves the box and comes back to it.
    turn: i32,
}

const WIDTH: i32 = 940;
const HEIGHT: i32 = 384;
const BOX: i32 = 34;
/// From the line of one label to the next.
const LINE: i32 = 15;

const PLACES: [Place; 5] = [
    Place { state: State::Connecting, left: 10, right: 130, top: 54, turn: 70 },
    Place { state: State::Open, left: 270, right: 470, top: 54, turn: 370 },
    Place { state: State::Suspended, left: 640, right: 840, top: 54, turn: 740 },
    Place { state: State::Closing, left: 370, right: 740, top: 198, turn: 570 },
    Place { state: State::Closed, left: 10, right: 840, top: 306, turn: 425 },
];

/// Names are prefixed, since the page that this stands in has its own. Its colours are taken where it has some.
const HEAD: &str = r##"<style>
.lifecycle { --ink: var(--main-color, #1f2328); font: 11px ui-monospace, monospace; max-width: 100%; height: auto }
@media (prefers-color-scheme: dark) { .lifecycle { --ink: var(--main-color, #e6edf3) } }
.lifecycle rect, .lifecycle .edge { fill: none; stroke: var(--ink) }
.lifecycle text, .lifecycle marker path { fill: var(--ink) }
.lifecycle .state { font-size: 13px; font-weight: bold; text-anchor: middle }
.lifecycle .middle { text-anchor: middle }
</style>
<marker id="lifecycle-head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 8 4 0 8z"/>
</marker>
"##;

/// The transitions as SVG, without an empty line: so it may stand in Markdown, too.
fn diagram(rows: &[Transition]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"lifecycle\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"The life of a session: the rows of the table below, drawn\">\n{HEAD}"
    );
    for Place { state, left, right, top, .. } in &PLACES {
        let (width, middle, line) = (right - left, (left + right) / 2, top + BOX / 2 + 5);
        svg += &format!("<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{BOX}\" rx=\"8\"/>\n");
        svg += &format!("<text class=\"state\" x=\"{middle}\" y=\"{line}\">{state:?}</text>\n");
    }
    let mut drawn = vec![];
    for Transition { from, to, .. } in rows {
        if !drawn.contains(&(from, to)) {
            drawn.push((from, to));
            let labels: Vec<_> = rows.iter().filter(|row| (&row.from, &row.to) == (from, to)).map(label).collect();
            svg += &arrow(place(*from), place(*to), &labels);
        }
    }
    let legend = "input / what the application is told";
    svg + &format!("<text x=\"10\" y=\"{}\">{legend}</text>\n</svg>\n", HEIGHT - 14)
}

fn place(state: State) -> &'static Place {
    PLACES.iter().find(|place| place.state == state).expect("PLACES has every state")
}

fn label(row: &Transition) -> String {
    row.output.map_or_else(|| format!("{:?}", row.input), |output| format!("{:?} / {output:?}", row.input))
}

fn arrow(from: &Place, to: &Place, labels: &[String]) -> String {
    if from.state == to.state {
        let (x, y) = (from.turn, from.top);
        let line = format!("M{} {y}c0 -26 24 -26 24 0", x - 12);
        return edge(&line) + &text("middle", x, y - 24 - LINE * (labels.len() as i32 - 1), labels);
    }
    if from.top == to.top {
        let there = from.left < to.left;
        let (start, end) = if there { (from.right, to.left) } else { (from.left, to.right) };
        // The way there is in the upper half and has its label above, the way back is in the lower one.
        let (y, first) = if there { (from.top + 11, from.top + 5) } else { (from.top + 23, from.top + 38) };
        return edge(&format!("M{start} {y}H{end}")) + &text("middle", (start + end) / 2, first, labels);
    }
    assert!(from.top < to.top, "no place for an arrow from {:?} up to {:?}", from.state, to.state);
    let x = way_down(from, to);
    // Beside the lower end, where arrows that begin higher have passed what is between.
    let first = to.top - 30 - LINE * (labels.len() as i32 - 1);
    edge(&format!("M{x} {}V{}", from.top + BOX, to.top)) + &text("", x + 6, first, labels)
}

/// The middle of where both boxes are and no other is between them.
fn way_down(from: &Place, to: &Place) -> i32 {
    let (mut left, mut right) = (from.left.max(to.left), from.right.min(to.right));
    for between in PLACES.iter().filter(|place| place.top > from.top && place.top < to.top) {
        if between.left <= left {
            left = left.max(between.right);
        } else {
            right = right.min(between.left);
        }
    }
    assert!(left < right, "no way down from {:?} to {:?}", from.state, to.state);
    (left + right) / 2
}

fn edge(line: &str) -> String {
    format!("<path class=\"edge\" d=\"{line}\" marker-end=\"url(#lifecycle-head)\"/>\n")
}

fn text(class: &str, x: i32, first: i32, lines: &[String]) -> String {
    let line = |(at, line)| format!("<text class=\"{class}\" x=\"{x}\" y=\"{}\">{line}</text>\n", first + LINE * at);
    (0..).zip(lines).map(line).collect()
}
