pub fn run() -> harness::Result<bool> {
    Ok(true)
}
