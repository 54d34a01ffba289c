//! Downloads from mirrors that do not behave.

#![allow(clippy::disallowed_methods, reason = "a test: slow mirrors are made of pauses")]

use std::net::TcpListener;
use std::sync::Barrier;

use smbgw_command::Recorder;

use super::*;
use crate::hash;

mod mirror;

use mirror::{Give, Mirror, head};

/// No test waits longer than that: a download that never ends is what they are about.
const DEADLINE: Duration = Duration::from_secs(60);
/// For a mirror that is silent on purpose.
const SHORT: Duration = Duration::from_millis(300);

struct Place {
    directory: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        Self { directory, store }
    }

    /// Files that are still being written, or were left.
    fn unfinished(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("store/incoming")).map_or(0, Iterator::count)
    }
}

fn content(name: &str) -> Vec<u8> {
    name.as_bytes().iter().copied().cycle().take(100_000).collect()
}

/// A package that [`Give::File`] of [`content`] gives.
fn package(name: &str) -> Package {
    let content = content(name);
    Package {
        name: name.to_owned(),
        version: "1".to_owned(),
        architecture: "all".to_owned(),
        source: name.to_owned(),
        source_version: "1".to_owned(),
        path: format!("debian/{name}.deb"),
        size: content.len() as u64,
        sha256: hash::of_bytes(&content),
    }
}

fn name_of(target: &str) -> &str {
    target.rsplit('/').next().unwrap().trim_end_matches(".deb")
}

fn file(target: &str) -> Give {
    Give::File(content(name_of(target)))
}

fn limits(stall: Duration) -> Limits {
    Limits {
        connect: Duration::from_secs(5),
        stall,
        pauses: [Duration::from_millis(10), Duration::from_millis(20)],
    }
}

/// Fetches, with a deadline for all of it.
fn fetch_with(
    names: &[&str],
    mirror: &str,
    stall: Duration,
    proxies: Proxies,
    place: &Place,
    interrupt: &Interrupt,
) -> Result<Fetched, Error> {
    let packages: Vec<Package> = names.iter().map(|name| package(name)).collect();
    let (mirror, store, interrupt) = (mirror.to_owned(), place.store.clone(), interrupt.clone());
    let (sender, ended) = channel();
    std::thread::spawn(move || {
        let source = Source { mirror: &mirror, offline: false, limits: limits(stall) };
        sender.send(download(packages, &source, proxies, &store, &interrupt, &|_| ()))
    });
    ended.recv_timeout(DEADLINE).expect("it did not end")
}

fn fetch_from(names: &[&str], mirror: &str, place: &Place) -> Result<Fetched, Error> {
    fetch_with(names, mirror, DEADLINE, Proxies::default(), place, &Interrupt::new())
}

fn stored(names: &[&str], place: &Place) -> bool {
    names.iter().all(|name| place.store.read(&package(name).sha256).is_ok_and(|found| found == content(name)))
}

/// The only failure.
fn failure(result: Result<Fetched, Error>) -> Failure {
    match result {
        Err(Error::NotFetched { mut failures, left: 0 }) if failures.len() == 1 => failures.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_packages_come_over_a_handful_of_connections() {
    let names: Vec<String> = (0..40).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mirror, place) = (Mirror::start(|target, _| file(target)), Place::new());
    let fetched = fetch_from(&names, &mirror.address, &place).unwrap();
    assert_eq!(fetched, Fetched { packages: 40, bytes: 4_000_000 });
    assert!(stored(&names, &place) && place.unfinished() == 0);
    assert_eq!(mirror.requests().len(), 40);
    assert!((1..=CONNECTIONS).contains(&mirror.connections()), "{}", mirror.connections());
}

#[test]
fn connections_work_at_the_same_time() {
    // nobody is answered before all have asked
    let together = Barrier::new(CONNECTIONS);
    let mirror = Mirror::start(move |target, _| {
        together.wait();
        file(target)
    });
    let place = Place::new();
    fetch_from(&["a", "b", "c", "d"], &mirror.address, &place).unwrap();
    assert!(stored(&["a", "b", "c", "d"], &place));
}

#[test]
fn progress_is_told_and_ends_with_all() {
    let (mirror, place) = (Mirror::start(|target, _| file(target)), Place::new());
    let source = Source { mirror: &mirror.address, offline: false, limits: limits(DEADLINE) };
    let notes = std::cell::RefCell::new(Vec::new());
    let note = |text: &str| notes.borrow_mut().push(text.to_owned());
    let packages = vec![package("a"), package("b")];
    download(packages, &source, Proxies::default(), &place.store, &Interrupt::new(), &note).unwrap();
    assert_eq!(notes.borrow().last().map(String::as_str), Some("0.2 of 0.2 MB, 2 of 2 packages"));
}

#[test]
fn what_is_there_is_not_asked_for_and_offline_nothing_is() {
    let (mirror, place) = (Mirror::start(|target, _| file(target)), Place::new());
    fetch_from(&["a"], &mirror.address, &place).unwrap();
    let fetch = |names: &[&str], offline| {
        let packages: Vec<Package> = names.iter().map(|name| package(name)).collect();
        let source = Source { mirror: &mirror.address, offline, limits: limits(DEADLINE) };
        fetch(&packages, &source, &place.store, &Recorder::new(), &Interrupt::new(), &|_| ())
    };
    assert_eq!(fetch(&["a"], true).unwrap(), Fetched::default());
    assert_eq!(fetch(&["a"], false).unwrap(), Fetched::default());
    let error = fetch(&["a", "b"], true).unwrap_err();
    assert!(matches!(&error, Error::StoreLacks { names } if names == &["b_1_all"]), "{error}");
    assert_eq!(mirror.requests().len(), 1);
}

#[test]
fn what_the_mirror_does_not_have_is_told_at_once_and_all_of_it() {
    let mirror = Mirror::start(|target, _| match name_of(target) {
        "old" => Give::Status(404),
        "older" => Give::Status(410),
        _ => file(target),
    });
    let place = Place::new();
    let error = fetch_from(&["a", "old", "b", "older", "c"], &mirror.address, &place).unwrap_err();
    assert!(
        matches!(&error, Error::PackagesGone { names, .. } if names == &["old_1_all", "older_1_all"]),
        "{error}"
    );
    assert_eq!((mirror.asked("/debian/old.deb"), mirror.asked("/debian/older.deb")), (1, 1));
    // the others are there for the next build
    assert!(stored(&["a", "b", "c"], &place) && place.unfinished() == 0);
}

#[test]
fn many_that_are_gone_do_not_stop_the_rest() {
    let mirror =
        Mirror::start(
            |target, _| if name_of(target).starts_with("old") { Give::Status(404) } else { file(target) },
        );
    let place = Place::new();
    let names = ["old1", "old2", "old3", "old4", "old5", "old6", "x", "y"];
    let error = fetch_from(&names, &mirror.address, &place).unwrap_err();
    assert!(matches!(&error, Error::PackagesGone { names, .. } if names.len() == 6), "{error}");
    assert!(stored(&["x", "y"], &place));
}

#[test]
fn a_login_page_in_place_of_the_mirror_is_told_as_such() {
    let (mirror, place) = (Mirror::start(|_, _| Give::Page), Place::new());
    let result = fetch_from(&["a"], &mirror.address, &place);
    let error = result.as_ref().unwrap_err();
    let (text, hint) = (error.to_string(), error.hint().unwrap());
    assert!(
        text.contains("web page") && text.contains(&format!("{}/debian/a.deb", mirror.address)),
        "{text}"
    );
    assert!(hint.contains("login page"), "{hint}");
    let failure = failure(result);
    assert!(matches!(failure.fault, Fault::Content { page: true, .. }) && failure.attempts == 2, "{failure}");
    assert_eq!(place.unfinished(), 0);
}

#[test]
fn wrong_content_is_asked_for_once_more_and_then_told_with_both_hashes() {
    let wrong = vec![b'?'; content("a").len()];
    let found = hash::of_bytes(&wrong);
    let always = wrong.clone();
    let (mirror, place) = (Mirror::start(move |_, _| Give::File(always.clone())), Place::new());
    let failed = failure(fetch_from(&["a"], &mirror.address, &place));
    let text = failed.to_string();
    for part in ["a_1_all", &mirror.address, &found, &package("a").sha256] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((failed.attempts, mirror.asked("/debian/a.deb"), place.unfinished()), (2, 2, 0));
    assert!(!place.store.has(&package("a").sha256, package("a").size) && !place.store.path(&found).exists());

    let once = Mirror::start(
        move |target, before| if before == 0 { Give::File(wrong.clone()) } else { file(target) },
    );
    fetch_from(&["a"], &once.address, &place).unwrap();
    assert!(stored(&["a"], &place));
}

#[test]
fn a_mirror_that_stalls_is_given_up_on() {
    let begun = [head(100_000), vec![b'a'; 5000]].concat();
    for before in [Vec::new(), b"HTTP/1.1 200 OK\r\nContent-Le".to_vec(), begun] {
        let (mirror, place) = (Mirror::start(move |_, _| Give::Stall(before.clone())), Place::new());
        let result =
            fetch_with(&["a"], &mirror.address, SHORT, Proxies::default(), &place, &Interrupt::new());
        let failed = failure(result);
        assert_eq!((&failed.fault, failed.attempts), (&Fault::Stalled(SHORT), 3), "{failed}");
        assert!(failed.to_string().contains("nothing came for 0.3 s (3 times)"), "{failed}");
        assert_eq!((mirror.asked("/debian/a.deb"), place.unfinished()), (3, 0));
    }
}

#[test]
fn a_slow_mirror_is_no_stalled_one() {
    // takes several times the limit, but never that long between two parts
    let mirror =
        Mirror::start(|target, _| Give::Slowly(content(name_of(target)), 2000, Duration::from_millis(30)));
    let place = Place::new();
    let stall = Duration::from_millis(500);
    fetch_with(&["a"], &mirror.address, stall, Proxies::default(), &place, &Interrupt::new()).unwrap();
    assert!(stored(&["a"], &place));
}

#[test]
fn a_connection_that_is_reset_is_made_again() {
    let begun = [head(100_000), vec![b'a'; 5000]].concat();
    let first = begun.clone();
    let mirror = Mirror::start(
        move |target, before| if before < 2 { Give::Reset(first.clone()) } else { file(target) },
    );
    let place = Place::new();
    fetch_from(&["a"], &mirror.address, &place).unwrap();
    assert!(stored(&["a"], &place) && mirror.asked("/debian/a.deb") == 3);

    // reset, or closed before all is there
    for give in [Give::Reset as fn(Vec<u8>) -> Give, Give::Raw] {
        let begun = begun.clone();
        let (mirror, place) = (Mirror::start(move |_, _| give(begun.clone())), Place::new());
        let failed = failure(fetch_from(&["a"], &mirror.address, &place));
        assert!(matches!(failed.fault, Fault::Connection(_)) && failed.attempts == 3, "{failed}");
        assert_eq!(place.unfinished(), 0);
    }
}

#[test]
fn a_mirror_that_has_trouble_is_asked_again() {
    let mirror = Mirror::start(|target, before| if before < 2 { Give::Status(503) } else { file(target) });
    let place = Place::new();
    fetch_from(&["a"], &mirror.address, &place).unwrap();
    assert!(stored(&["a"], &place));
    let failed = failure(fetch_from(&["b"], &Mirror::start(|_, _| Give::Status(500)).address, &place));
    assert_eq!((failed.fault, failed.attempts), (Fault::Status(500), 3));
    let failed = failure(fetch_from(&["b"], &Mirror::start(|_, _| Give::Status(403)).address, &place));
    assert_eq!((failed.fault, failed.attempts), (Fault::Status(403), 1));
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let target = Mirror::start(|target, _| file(target));
    let (there, place) = (target.address.clone(), Place::new());
    // another host, then paths: five in all
    let mirror = Mirror::start(move |target, _| match target {
        "/debian/a.deb" => Give::Redirect("/1/a.deb".into()),
        "/1/a.deb" => Give::Redirect("../2/a.deb".into()),
        "/1/../2/a.deb" => Give::Redirect("/3/a.deb".into()),
        "/3/a.deb" => Give::Redirect("/4/a.deb".into()),
        "/4/a.deb" => Give::Redirect(format!("{there}/elsewhere/a.deb")),
        _ => Give::Redirect(target.to_owned()),
    });
    fetch_from(&["a"], &mirror.address, &place).unwrap();
    assert!(stored(&["a"], &place) && target.asked("/elsewhere/a.deb") == 1);

    let failed = failure(fetch_from(&["b"], &mirror.address, &place));
    assert!(matches!(failed.fault, Fault::Redirect(_)) && failed.attempts == 1, "{failed}");
    assert_eq!(mirror.asked("/debian/b.deb"), 6);

    // where it ended is told
    let portal = Mirror::start(|_, _| Give::Page);
    let login = format!("{}/login", portal.address);
    let to = login.clone();
    let mirror = Mirror::start(move |_, _| Give::Redirect(to.clone()));
    let failed = failure(fetch_from(&["b"], &mirror.address, &place));
    let told = format!("{}/debian/b.deb, redirected to {login}: a web page", mirror.address);
    assert!(failed.to_string().contains(&told), "{failed}");
}

#[test]
fn more_than_the_locked_size_is_cut_off() {
    // with an honest length it is not even begun, with a long one or none it is cut off
    let longer = [content("a"), vec![0]].concat();
    let honest = Mirror::start(move |_, _| Give::File(longer.clone()));
    for mirror in [honest, Mirror::start(|_, _| Give::Endless)] {
        let place = Place::new();
        let failed = failure(fetch_from(&["a"], &mirror.address, &place));
        assert!(matches!(failed.fault, Fault::Content { .. }) && failed.attempts == 2, "{failed}");
        assert_eq!(place.unfinished(), 0);
    }
    // and less is told as such
    let short = Mirror::start(|_, _| Give::Raw([b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![0; 7]].concat()));
    let failed = failure(fetch_from(&["a"], &short.address, &Place::new()));
    assert!(failed.to_string().contains("7 bytes instead of 100000"), "{failed}");
}

#[test]
fn nobody_there_is_told_after_a_few_packages() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let names: Vec<String> = (0..30).map(|number| format!("p{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = fetch_from(&names, &address, &Place::new()).unwrap_err();
    let Error::NotFetched { failures, left } = &error else { panic!("{error:?}") };
    assert!(
        (ENOUGH..ENOUGH + CONNECTIONS).contains(&failures.len()) && failures.len() + left == 30,
        "{error}"
    );
    assert!(
        failures.iter().all(|one| matches!(one.fault, Fault::Connection(_)) && one.attempts == 3),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("refused") && text.contains(&address) && text.contains("more were not asked for"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("http_proxy"));
}

#[test]
fn a_single_bad_package_does_not_stop_the_rest() {
    let mirror = Mirror::start(|target, _| match name_of(target) {
        "bad" => Give::Page,
        "gone" => Give::Status(404),
        _ => file(target),
    });
    let place = Place::new();
    let error = fetch_from(&["a", "bad", "b", "gone", "c", "d", "e"], &mirror.address, &place).unwrap_err();
    let Error::NotFetched { failures, left: 0 } = &error else { panic!("{error:?}") };
    let packages: Vec<&str> = failures.iter().map(|failure| failure.package.as_str()).collect();
    assert_eq!(packages, ["bad_1_all", "gone_1_all"], "what is wrong with the mirror comes first");
    assert!(stored(&["a", "b", "c", "d", "e"], &place));
}

#[test]
fn an_interrupt_ends_it_at_once_even_while_nothing_comes() {
    let begun = [head(100_000), vec![b'a'; 5000]].concat();
    for before in [Vec::new(), begun] {
        let interrupt = Interrupt::new();
        let set = interrupt.clone();
        let (asked, place) = (Barrier::new(2), Place::new());
        let asked = Arc::new(asked);
        let at_mirror = Arc::clone(&asked);
        let mirror = Mirror::start(move |_, _| {
            at_mirror.wait();
            Give::Stall(before.clone())
        });
        let setter = std::thread::spawn(move || {
            asked.wait();
            std::thread::sleep(Duration::from_millis(100));
            set.set();
            Instant::now()
        });
        // the limit for stalls is as long as the deadline of the test
        let result =
            fetch_with(&["a"], &mirror.address, DEADLINE * 2, Proxies::default(), &place, &interrupt);
        assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
        assert!(setter.join().unwrap().elapsed() < Duration::from_secs(10));
        assert_eq!(place.unfinished(), 0);
    }
}

#[test]
fn what_a_killed_build_left_is_swept_even_when_nothing_is_missing() {
    let (mirror, place) = (Mirror::start(|target, _| file(target)), Place::new());
    fetch_from(&["a"], &mirror.address, &place).unwrap();
    std::fs::write(place.directory.path().join("store/incoming/incoming-1-0"), "half").unwrap();
    let source = Source { mirror: &mirror.address, offline: false, limits: limits(DEADLINE) };
    fetch(&[package("a")], &source, &place.store, &Recorder::new(), &Interrupt::new(), &|_| ()).unwrap();
    assert!(stored(&["a"], &place) && place.unfinished() == 0);
}

#[test]
fn a_store_that_cannot_be_written_is_no_fault_of_the_mirror() {
    let (mirror, place) = (Mirror::start(|target, _| file(target)), Place::new());
    std::fs::create_dir_all(place.directory.path().join("store")).unwrap();
    std::fs::write(place.directory.path().join("store/incoming"), "a file").unwrap();
    let error = fetch_from(&["a", "b", "c", "d", "e"], &mirror.address, &place).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}

#[test]
fn http_goes_through_a_proxy_by_whole_addresses() {
    let proxy = Mirror::start(|target, _| file(target));
    let authority = proxy.address.trim_start_matches("http://");
    let variable = format!("http://user:ge%3Aheim@{authority}");
    let proxies = |without: &'static str| {
        let variable = variable.clone();
        let settings = Settings::from_variables(move |name| match name {
            "http_proxy" => Some(variable.clone()),
            "no_proxy" => Some(without.to_owned()),
            _ => None,
        });
        Proxies::parse(settings)
    };
    let place = Place::new();
    let mirror = "http://mirror.invalid:8080/x";
    let fetch = |names: &[&str], mirror: &str, proxies| {
        fetch_with(names, mirror, DEADLINE, proxies, &place, &Interrupt::new())
    };
    fetch(&["a", "b"], mirror, proxies("elsewhere.invalid").unwrap()).unwrap();
    assert!(stored(&["a", "b"], &place));
    for request in proxy.requests() {
        assert!(request.target.starts_with("http://mirror.invalid:8080/x/debian/"), "{request:?}");
        assert_eq!(request.headers["host"], "mirror.invalid:8080");
        // user:ge:heim
        assert_eq!(request.headers["proxy-authorization"], "Basic dXNlcjpnZTpoZWlt");
    }
    let before = proxy.requests().len();
    // the host of a direct mirror learns nothing of the proxy
    let direct = Mirror::start(|target, _| file(target));
    fetch(&["c"], &direct.address, proxies("127.0.0.1").unwrap()).unwrap();
    assert!(direct.requests().iter().all(|request| !request.headers.contains_key("proxy-authorization")));
    assert_eq!(proxy.requests().len(), before);
}

#[test]
fn https_goes_through_a_proxy_by_a_tunnel() {
    let proxy = Mirror::start(|_, _| Give::Status(403));
    let variable = proxy.address.clone();
    let settings = Settings::from_variables(move |name| (name == "https_proxy").then(|| variable.clone()));
    let proxies = Proxies::parse(settings).unwrap();
    let place = Place::new();
    let mirror = "https://mirror.invalid";
    let failed = failure(fetch_with(&["a"], mirror, DEADLINE, proxies, &place, &Interrupt::new()));
    assert!(matches!(failed.fault, Fault::Connection(_)), "{failed}");
    assert!(failed.to_string().contains(&proxy.address.replace("http://", "by the proxy ")), "{failed}");
    assert!(proxy.asked("CONNECT mirror.invalid:443") >= 1, "{:?}", proxy.requests());
}

#[test]
fn what_does_not_speak_tls_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        // each is kept open: what ends the connection is what was said
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
            open.push(stream);
        }
    });
    let failed = failure(fetch_from(&["a"], &address, &Place::new()));
    assert!(matches!(failed.fault, Fault::Tls(_)) && failed.attempts == 1, "{failed}");
}
