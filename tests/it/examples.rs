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
