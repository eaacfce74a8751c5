//! Makes the folder of the built web pages, empty where they were not built, so that the daemon
//! always compiles and is compiled anew when they change.

fn main() {
    println!("cargo:rerun-if-changed=web/dist");
    if let Err(error) = std::fs::create_dir_all("web/dist") {
        println!("cargo:warning=cannot make web/dist: {error}");
    }
}
