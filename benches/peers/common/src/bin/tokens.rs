fn main() {
    peers_common::write_tokens();
}
