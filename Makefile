# Every target is a line: the logic is in `rollcall` itself or in scripts/.
.PHONY: demo up test lint fuzz bench soak

demo: ; scripts/setup run && cargo build --release --locked && target/release/rollcall demo
up:   ; scripts/setup run && cargo build --release --locked && target/release/rollcall up
test: ; scripts/setup test && scripts/test
lint: ; scripts/setup test && scripts/lint
fuzz: ; scripts/setup test && cargo build --locked && scripts/fuzz $${CARGO_TARGET_DIR:-target}/debug/rollcall
bench:; scripts/setup bench && cargo build --release --locked && target/release/rollcall bench
soak: ; scripts/setup run && cargo build --release --locked && target/release/rollcall bench soak
