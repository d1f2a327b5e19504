//! The examples that call themselves say what they should.

use crate::support::example;

#[track_caller]
fn prints(name: &str, expected: &str) {
    let Some(mut program) = example(name) else { return };
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn grpc() {
    prints(
        "grpc",
        "no token: Unauthenticated, an access token is required\n\
         a token: Serving\n\
         a token without the scope: PermissionDenied, the access token lacks a required scope\n\
         a message that asks for more: PermissionDenied, the access token lacks a required scope\n\
         a method that is not listed: Some(PermissionDenied)\n",
    );
}

#[test]
fn hyper() {
    prints("hyper", "no token: 401 Unauthorized \na token: 200 OK hello robot\n");
}

#[test]
fn long() {
    prints(
        "long",
        "server-sent events: some ticks, then \"event: expired\"\n\
         gRPC: some messages, then Unauthenticated, the access token expired\n",
    );
}

/// In small numbers: the bounds that do not depend on how fast this machine is.
#[test]
#[cfg(feature = "reqwest")]
fn flood() {
    let Some(mut program) = example("flood") else { return };
    let output = program.arg("--quick").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("first requests at once: 500 sent, 500 answered 200, in "), "{said}");
    let opaque = "first requests at once with one opaque token: 500 sent, 500 answered 200, in ";
    assert!(said.contains(opaque) && said.contains("; 1 call\n"), "{said}");
    assert!(said.contains("an endpoint that says nothing: 300 sent, 300 answered 503, in "), "{said}");
    assert!(said.ends_with("every bound held\n"), "{said}");
}

#[test]
fn hostile() {
    let Some(mut program) = example("hostile") else { return };
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let [good, lax] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert_eq!(good, "as it should be: every hostile token is refused");
    assert!(lax.starts_with("with any audience: accepted are ") && lax.contains("aud-other"), "{lax}");
}

#[test]
#[cfg(feature = "reqwest")]
fn five_systems() {
    let Some(mut program) = example("five_systems") else { return };
    let output = program.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = said.lines().collect();
    let [head, rows @ .., empty, last] = &lines[..] else { panic!("{said}") };
    let columns: Vec<_> = head.split_whitespace().collect();
    assert_eq!(columns, ["system", "asked", "for", "sent", "to", "expected", "got"]);
    assert_eq!((*empty, *last), ("", &*format!("{} rows, 0 of them not as expected", rows.len())));
    for (system, at_least) in [("clickview", 25), ("wicked", 12), ("tarkov", 20), ("oro", 15), ("aidbox", 30)]
    {
        assert!(rows.iter().filter(|row| row.starts_with(system)).count() >= at_least, "{system}: {said}");
    }
    for row in rows {
        // What was expected and what came stand side by side.
        let (_, answers) = row.split_at(head.find("expected").unwrap());
        let (expected, got) = answers.split_at(head.len() - "got".len() - head.find("expected").unwrap());
        assert_eq!(expected.trim_end(), got, "{row}");
    }
}

#[test]
#[cfg(feature = "rustls")]
fn network() {
    prints(
        "network",
        "its authority and our token: yes\n\
         its authority alone: no\n\
         the platform's authorities: no\n",
    );
}
