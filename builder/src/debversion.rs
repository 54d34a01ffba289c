//! Comparing versions of packages as dpkg does. Source: deb-version(7).

use std::cmp::Ordering;

/// Whether `a` is older than `b`, the same, or newer. Every text has a place in the order, also one that dpkg would refuse.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    compare_part(a.epoch, b.epoch)
        .then_with(|| compare_part(a.upstream, b.upstream))
        .then_with(|| compare_part(a.revision, b.revision))
}

/// `[epoch:]upstream[-revision]`.
struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    fn of(version: &'a str) -> Self {
        // a missing epoch is 0, and so is a missing revision: both compare as nothing does
        let (epoch, rest) = version.trim().split_once(':').unwrap_or(("", version.trim()));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch, upstream, revision }
    }
}

/// Text and numbers in turn, from the left.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, text_b) = (take(&mut a, |c| !c.is_ascii_digit()), take(&mut b, |c| !c.is_ascii_digit()));
        let (number_a, number_b) =
            (take(&mut a, |c| c.is_ascii_digit()), take(&mut b, |c| c.is_ascii_digit()));
        let order = compare_text(text_a, text_b).then_with(|| compare_number(number_a, number_b));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// What the text begins with.
fn take<'a>(text: &mut &'a str, wanted: impl Fn(char) -> bool) -> &'a str {
    let (taken, rest) = text.split_at(text.find(|c| !wanted(c)).unwrap_or(text.len()));
    *text = rest;
    taken
}

/// A tilde sorts before the end, the end before letters, letters before everything else.
fn compare_text(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => 0,
        None => 1,
        Some(c) if c.is_ascii_alphabetic() => 2 + u32::from(c),
        Some(c) => 0x100 + u32::from(c),
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (x, y) = (a.next(), b.next());
        let order = weight(x).cmp(&weight(y));
        if order.is_ne() || x.is_none() {
            return order;
        }
    }
}

/// Numbers of any length; none is 0.
fn compare_number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use smbgw_command::{Command, Runner, System};

    use super::*;

    /// What `dpkg --compare-versions` says of each pair, in one run of a shell.
    fn dpkg(pairs: &[(&str, &str)]) -> Vec<Ordering> {
        const SCRIPT: &str = r#"while read -r a b; do
            if dpkg --compare-versions "$a" lt "$b"; then echo lt
            elif dpkg --compare-versions "$a" gt "$b"; then echo gt
            else echo eq; fi
        done"#;
        let lines: String = pairs.iter().map(|(a, b)| format!("{a} {b}\n")).collect();
        // a thousand processes: a second, and far more on a busy machine
        let deadline = std::time::Duration::from_secs(300);
        let command = Command::new("/bin/sh").args(["-c", SCRIPT]).stdin(lines).deadline(deadline);
        let said = System::new().run(&command).unwrap().text(&command).unwrap();
        let order = |word: &str| match word {
            "lt" => Ordering::Less,
            "gt" => Ordering::Greater,
            _ => Ordering::Equal,
        };
        said.lines().map(order).collect()
    }

    const VERSIONS: &[&str] = &[
        "0",
        "1",
        "1.0",
        "1.0-0",
        "1.0-1",
        "1.0-1+b1",
        "1.0-1~bpo12+1",
        "1.0-1+deb13u1",
        "1.0~rc1-1",
        "1.0~rc1~git1-1",
        "1.0~",
        "1.0~~",
        "1.0+dfsg-1",
        "1.0.1-1",
        "1.00-1",
        "1.010",
        "1.10",
        "1.9",
        "0:1.0-1",
        "1:0.1-1",
        "2:4.22.3+dfsg-0+deb13u1",
        "2:4.22.4+dfsg-1~deb13u1",
        "10:1",
        "1.0a-1",
        "1.0A",
        "1.0.a",
        "1.0-1-1",
        "99999999999999999999999999.1",
        "99999999999999999999999999.2",
        "20230101",
        "1.2.3.4.5",
        "2.41-12",
        "6.12.48-1",
    ];

    #[test]
    fn the_order_is_that_of_dpkg() {
        let pairs: Vec<(&str, &str)> = VERSIONS
            .iter()
            .enumerate()
            .flat_map(|(n, a)| VERSIONS[n..].iter().map(move |b| (*a, *b)))
            .collect();
        let said = dpkg(&pairs);
        assert_eq!(said.len(), pairs.len());
        for ((a, b), said) in pairs.iter().zip(said) {
            assert_eq!(compare(a, b), said, "{a} and {b}");
            assert_eq!(compare(b, a), said.reverse(), "{b} and {a}");
        }
    }

    #[test]
    fn the_order_is_that_of_dpkg_for_odd_versions() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let version = "[0-9]{1,2}[0-9a-zA-Z.+~]{0,6}(-[0-9a-z.+~]{1,4})?";
        let mut one = || version.new_tree(&mut runner).unwrap().current();
        // the second is the first with another end, so that they differ late
        let pairs: Vec<(String, String)> = (0..150).map(|_| (one(), one())).collect();
        let pairs: Vec<(String, String)> = pairs
            .into_iter()
            .map(|(a, b)| (a.clone(), format!("{}{}", &a[..a.len() / 2 + 1], &b[1..])))
            .collect();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .filter(|(a, b)| !a.ends_with('-') && !b.ends_with('-'))
            .collect();
        assert!(pairs.len() > 100);
        for ((a, b), said) in pairs.iter().zip(dpkg(&pairs)) {
            assert_eq!(compare(a, b), said, "{a} and {b}");
        }
    }

    proptest! {
        #[test]
        fn any_texts_have_an_order(a in "\\PC{0,12}", b in "\\PC{0,12}", c in "[0-9a~.:-]{0,5}", d in "[0-9a~.:-]{0,5}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&c, &d), compare(&d, &c).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
        }
    }
}
