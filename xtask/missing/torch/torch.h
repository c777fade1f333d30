// Found only when .libtorch is not: the compiler looks here last (`.cargo/config.toml`). A missing file
// stops it at once, where an #error would not.
#include "libtorch is not linked here: run `cargo xtask setup`"
