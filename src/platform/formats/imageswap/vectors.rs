//! The imageswap webhook's map.

use crate::platform::{vectors::*, *};

fn map(text: &str) -> Imported {
    read("imageswap", &[("map", text)], &OPTIONS)
}

fn diagnostics(text: &str) -> Vec<String> {
    codes(&map(text))
}

#[test]
fn the_projects_own_map() {
    check(&map(PROJECT), IS);
    assert_eq!(diagnostics(PROJECT), [""; 0]);
    check(&map(&PROJECT.replace('\n', "\r\n")), IS);
    check(&map(&format!("\u{feff}{PROJECT}")), IS);
    let inner = PROJECT.replace('\n', "\n    ");
    let config_map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: imageswap-maps\n\
         data:\n  maps: |\n    {inner}"
    );
    check(&map(&config_map), IS);
}

/// Without its three invalid lines.
const PROJECT: &str = "\
default:default.example.com
docker.io:my.example.com/mirror-
quay.io:quay.example3.com
gitlab.com:registry.example.com/gitlab
#gcr.io: # This is a comment
   # So is this
cool.io:
registry.internal.twr.io:registry.example.com
harbor.geo.pks.twr.io:harbor2.com ###### This is a comment with many marks

registry.waldo.com:8443::registry.garply.com
registry.foo.com :: localhost:30003/foo # From without a port to one with a port
registry.bar.com:8443::registry.baz.com:30003/bar
noswap_wildcards:twr.io, walrus.io
";

const IS: &[ExpectedRoute] = &[
    (
        "IS-01",
        "alpine",
        &[
            "my.example.com/mirror-docker.io/library/alpine",
            "my.example.com/mirror-docker.io/alpine",
        ],
    ),
    (
        "IS-02",
        "nginx:latest",
        &[
            "my.example.com/mirror-docker.io/library/nginx",
            "my.example.com/mirror-docker.io/nginx",
        ],
    ),
    (
        "IS-03",
        "ubuntu/ubuntu:latest",
        &["my.example.com/mirror-docker.io/ubuntu/ubuntu"],
    ),
    (
        "IS-04",
        "docker.io/tmobile/magtape:latest",
        &["my.example.com/mirror-docker.io/tmobile/magtape"],
    ),
    (
        "IS-05",
        "rabbitmq:3.8.18-management",
        &[
            "my.example.com/mirror-docker.io/library/rabbitmq",
            "my.example.com/mirror-docker.io/rabbitmq",
        ],
    ),
    (
        "IS-06",
        "kindest/node@D",
        &["my.example.com/mirror-docker.io/kindest/node"],
    ),
    (
        "IS-07",
        "quay.io/solo/gloo:v1.0",
        &["quay.example3.com/solo/gloo"],
    ),
    (
        "IS-08",
        "gcr.io:443/istio/istiod:latest",
        &["default.example.com/istio/istiod"],
    ),
    (
        "IS-09",
        "gitlab.com/tmobile/pie/proxyman:latest",
        &["registry.example.com/gitlab/tmobile/pie/proxyman"],
    ),
    (
        "IS-10",
        "cool.io:443/istio/istiod:latest",
        &["cool.io:443/istio/istiod"],
    ),
    (
        "IS-11",
        "registry.external.twr.io:443/istio/istiod:latest",
        &["registry.external.twr.io:443/istio/istiod"],
    ),
    (
        "IS-12: a key beats an opt-out",
        "registry.internal.twr.io/istio/istiod:latest",
        &["registry.example.com/istio/istiod"],
    ),
    (
        "IS-13",
        "walrus.io/test/test:latest",
        &["walrus.io/test/test"],
    ),
    (
        "IS-14",
        "registry.waldo.com:8443/jmsearcy/twrtools:latest",
        &["registry.garply.com/jmsearcy/twrtools"],
    ),
    (
        "IS-14: another port is not its key's",
        "registry.waldo.com/jmsearcy/twrtools:latest",
        &["default.example.com/jmsearcy/twrtools"],
    ),
    (
        "IS-15",
        "registry.foo.com/jmsearcy/twrtools:latest",
        &["localhost:30003/foo/jmsearcy/twrtools"],
    ),
    (
        "IS-16",
        "registry.bar.com:8443/jmsearcy/twrtools:latest",
        &["registry.baz.com:30003/bar/jmsearcy/twrtools"],
    ),
    (
        "IS-17",
        "registry3.bar.com:8443/jmsearcy/twrtools:latest",
        &["default.example.com/jmsearcy/twrtools"],
    ),
    (
        "IS-18",
        "myregistry.com/some/random/test/with/registry:latest",
        &["default.example.com/some/random/test/with/registry"],
    ),
];

#[test]
fn is17_lines_without_a_separator_are_errors() {
    let text = "default::\n\
                registry2.bar.com:8443:registry.baz.com:30003/bar # comment\n\
                \x20 registry3.bar.com:8443:registry.baz.com\n\
                registry4.bar.com:registry.baz.com:30003/bar\n\
                registry5:5000\nnothing\na::b::c\n";
    let want = [
        "1:10 W-OPEN",
        "2:1 E-SEP",
        "3:3 E-SEP",
        "4:1 E-SEP",
        "5:1 E-SEP",
        "6:1 E-SEP",
        "7:1 E-SEP",
    ];
    assert_eq!(diagnostics(text), want);
}

#[test]
fn is19_library() {
    let imported = map("default::\ndocker.io:harbor.example.com\n\
                        docker.io/library:harbor.example.com/library");
    assert_eq!(codes(&imported), ["1:10 W-OPEN", "3:1 I-LIBWIDER"]);
    let want = &["harbor.example.com/library/nginx"];
    check(&imported, &[("IS-19", "nginx:latest", want)]);
    let imported = map("default::\ndocker.io::\ndocker.io/library::h.example/library");
    let rows: &[ExpectedRoute] = &[
        (
            "IX-15",
            "tmobile/magtape:latest",
            &["docker.io/tmobile/magtape"],
        ),
        ("IX-15", "nginx", &["h.example/library/nginx"]),
    ];
    check(&imported, rows);
    let imported = map("default::\ndocker.io::\ndocker.io/library::h.example/m-");
    let want = &["h.example/m-docker.io/nginx"];
    check(&imported, &[("a dash", "nginx", want)]);
}

#[test]
fn is20_is21_defaults() {
    let imported = map("default:");
    let image = "john.io/paulbower/hello-kubernetes:1.5";
    let want = &["john.io/paulbower/hello-kubernetes"];
    check(&imported, &[("IS-20", image, want)]);
    assert_eq!(codes(&imported), ["1:9 W-OPEN"]);
    let imported = map("quay.io::h.example\n");
    let rows: &[ExpectedRoute] = &[
        ("IS-21", "default.io/paulbower/x:1.5", &["unmatched"]),
        ("IS-21: a public one", "nginx", &["docker.io/library/nginx"]),
        ("IX-01: imported anyway", "quay.io/a/b", &["h.example/a/b"]),
    ];
    check(&imported, rows);
    assert_eq!(codes(&imported), ["1:1 W-NODEFAULT"]);
}

#[test]
fn is22_to_is26_single_images() {
    let imported = map("default::d.example
[EXACT]mysql/mysql-server:5.6::myownrepo.example.com/base/public-image-cache:mysql_mysql-server_5.6
[EXACT]auto::auto
[EXACT]quay.io/a/b::h.example/c
[EXACT]quay.io/a/b:5::h.example/c
[EXACT]quay.io/a/left:1::
[REPLACE]hello:v1.?::h.example/public-image-cache
[REPLACE]hello*::h.example/second
[REPLACE]auto*::
[REPLACE]*/plain::h.example/latest
");
    assert_eq!(codes(&imported), [""; 0]);
    let rows: &[ExpectedRoute] = &[
        (
            "IS-22",
            "mysql/mysql-server:5.6",
            &["myownrepo.example.com/base/public-image-cache:mysql_mysql-server_5.6"],
        ),
        (
            "IS-22: another tag",
            "mysql/mysql-server:5.7",
            &["d.example/mysql/mysql-server"],
        ),
        ("IS-23", "auto", &["docker.io/library/auto:latest"]),
        ("IS-24", "auto:1", &["docker.io/library/auto"]),
        (
            "IS-25",
            "hello:v1.1",
            &["h.example/public-image-cache/hello"],
        ),
        (
            "IS-25: file order",
            "hello:v1.12",
            &["h.example/second/hello"],
        ),
        (
            "IS-25: a folder goes",
            "hello/a/b:2",
            &["h.example/second/b"],
        ),
        ("IS-26", "auto/x:2", &["docker.io/library/x"]),
        ("no tag is latest", "quay.io/a/b", &["h.example/c:latest"]),
        ("no tag is latest", "quay.io/a/b:5", &["h.example/c:latest"]),
        ("left alone", "quay.io/a/left:1", &["quay.io/a/left"]),
        (
            "latest only",
            "quay.io/x/plain",
            &["h.example/latest/plain"],
        ),
        ("latest only", "quay.io/x/plain:1", &["d.example/x/plain"]),
        (
            "a digest may be a single tag's",
            "mysql/mysql-server@D",
            &[
                "d.example/mysql/mysql-server",
                "myownrepo.example.com/base/public-image-cache",
            ],
        ),
    ];
    check(&imported, rows);
}

#[test]
fn an_exact_digest_pins_the_tag() {
    let line = format!("default::\n[EXACT]nginx:1::h.example/n@{DIGEST}");
    let imported = map(&line);
    assert_eq!(imported.routes[0].digest.as_deref(), Some(DIGEST));
    check(&imported, &[("", "nginx:1", &["h.example/n"])]);
    let line = format!("default::\n[EXACT]nginx@{DIGEST}::h.example/n\n[REPLACE]*@*::h.example");
    let want = ["1:10 W-OPEN", "2:8 W-IGNORED", "3:10 W-IGNORED"];
    assert_eq!(diagnostics(&line), want);
}

/// Palette's map, as lines.
const LINES: &str = "\
docker.io::harbor.example.org/airgap-images/docker.io
gcr.io::harbor.example.org/airgap-images/gcr.io
ghcr.io::harbor.example.org/airgap-images/ghcr.io
k8s.gcr.io::harbor.example.org/airgap-images/gcr.io
registry.k8s.io::harbor.example.org/airgap-images/k8s.io
quay.io::harbor.example.org/airgap-images/quay.io
us-docker.pkg.dev::harbor.example.org/airgap-images
";

const IX: &[ExpectedRoute] = &[
    (
        "IX-02",
        "nginx:1.25",
        &[
            "harbor.example.org/airgap-images/docker.io/library/nginx",
            "harbor.example.org/airgap-images/docker.io/nginx",
        ],
    ),
    (
        "IX-03",
        "docker.io/library/nginx:1.25",
        &[
            "harbor.example.org/airgap-images/docker.io/library/nginx",
            "harbor.example.org/airgap-images/docker.io/nginx",
        ],
    ),
    (
        "IX-04",
        "k8s.gcr.io/pause:3.5",
        &["harbor.example.org/airgap-images/gcr.io/pause"],
    ),
    (
        "IX-05",
        "registry.k8s.io/pause:3.9",
        &["harbor.example.org/airgap-images/k8s.io/pause"],
    ),
    (
        "IX-06",
        "us-docker.pkg.dev/palette-images/palette/hubble:4.0",
        &["harbor.example.org/airgap-images/palette-images/palette/hubble"],
    ),
    (
        "IX-07",
        "index.docker.io/library/nginx",
        &[
            "harbor.example.org/airgap-images/docker.io/library/nginx",
            "harbor.example.org/airgap-images/docker.io/nginx",
        ],
    ),
    ("IX-08", "localhost:5000/foo:1", &["localhost:5000/foo"]),
    (
        "IX-09",
        "gcr.io/x/gcr.io/y:1",
        &["harbor.example.org/airgap-images/gcr.io/x/gcr.io/y"],
    ),
    (
        "IX-10",
        "gcr.io/gcrxio/y:1",
        &["harbor.example.org/airgap-images/gcr.io/gcrxio/y"],
    ),
];

#[test]
fn palettes_map() {
    let want = ["1:1 W-NODEFAULT", "4:13 W-COLLIDE"];
    assert_eq!(diagnostics(LINES), want);
    let with_default = map(&format!("{LINES}default::\n"));
    check(&with_default, IX);
    let list = LINES.trim().replace('\n', " , ") + ", default::,";
    check(&map(&list), IX);
}

#[test]
fn quirks_that_are_not_repeated() {
    let one = |lines: &str, rows: &[ExpectedRoute]| check(&map(lines), rows);
    let want = &["q.example.com/m-quay.io/a/b"];
    one(
        "default::\nquay.io::q.example.com/m-",
        &[("IX-11", "quay.io:443/a/b:1", want)],
    );
    let text = "default::d.example.com/m-";
    one(
        text,
        &[("IX-12", "gcr.io/a/b:1", &["d.example.com/m-gcr.io/a/b"])],
    );
    assert_eq!(diagnostics(text), ["1:10 W-DASHDEFAULT"]);
    assert_eq!(diagnostics("default::my-"), ["1:10 E-REF"]);
    one(
        "default::h.example/cache\ndocker.io::",
        &[("IX-13", "registry:5000/x:1", &["h.example/cache/x"])],
    );
    let text = "default::\nquay.io::h.example.com/q/";
    one(text, &[("IX-16", "quay.io/a:1", &["h.example.com/q/a"])]);
    assert_eq!(diagnostics(text), ["1:10 W-OPEN", "2:10 W-SLASH"]);
    one(
        "default::h.example\nnoswap_wildcards::twr.io",
        &[("IX-17", "gcr.io/twr.io/x:1", &["gcr.io/twr.io/x"])],
    );
    one(
        "default::\nregistry.io::any.example\nregistry.io:5000::five.example",
        &[
            (
                "a port's own key",
                "registry.io:5000/a",
                &["five.example/a"],
            ),
            ("any other port", "registry.io:6000/a", &["any.example/a"]),
        ],
    );
    one(
        "default::\nquay.io::first.example\nquay.io::last.example",
        &[("the last one wins", "quay.io/a", &["last.example/a"])],
    );
    one(
        "default::\nquay.io::myuser",
        &[("a word is a Hub user", "quay.io/a", &["docker.io/myuser/a"])],
    );
}

#[test]
fn ix14_ix18_what_is_wrong_says_where() {
    let text = "\
default::
docker.io/library::h/library
quay.io/solo::h.example.com/solo
nginx::h.example
gcr.io::https://h.example/x
http://ghcr.io::h.example
a.io::h.example/UPPER
b.io::h.example/{name}
c.io::h.example/x # one # two
d.io::REPLACE_WITH_REGISTRY/d
e.io::\th.example
[EXACT]f.io/a:1::h.example/a:.
[exact]g.io/a:1::h.example/a
[REPLACE][::h.example
i.io/library::h.example
noswap_wildcards:: twr.io, :dev,localhost:5000/x
";
    let want = [
        "1:10 W-OPEN",
        "2:1 E-LIBKEY",
        "3:1 E-DEADKEY",
        "4:1 E-DEADKEY",
        "5:9 E-SCHEME",
        "6:1 E-SCHEME",
        "7:7 E-REF",
        "8:7 E-REF",
        "9:19 W-MULTIHASH",
        "10:7 E-PLACEHOLDER",
        "11:7 E-REF",
        "12:18 E-REF",
        "13:1 E-DEADKEY",
        "14:10 E-GLOB",
        "15:1 E-LIBKEY",
        "16:28 W-IGNORED",
    ];
    assert_eq!(diagnostics(text), want);
    let list = "docker.io::h.example, quay.io ,default::";
    assert_eq!(diagnostics(list), ["1:23 E-SEP", "1:41 W-OPEN"]);
    for line in lines(&map(text)) {
        assert!(!line.contains("; write \"\""), "{line}");
    }
}

#[test]
fn more_patterns_than_bands_are_refused() {
    use std::fmt::Write as _;
    let mut text = "default::\n".to_owned();
    for at in 0..101 {
        writeln!(text, "[REPLACE]a{at}*::h.example").unwrap();
    }
    assert_eq!(diagnostics(&text), ["1:10 W-OPEN", "102:10 E-GLOB"]);
}

#[test]
fn fallback_appends_the_source() {
    let options = ImportOptions {
        fallback: SourceFallback::Source,
        ..OPTIONS
    };
    let text = "default::d.example\nquay.io::h.example\n[EXACT]ghcr.io/a:1::h.example/b:2";
    let imported = read("imageswap", &[("map", text)], &options);
    let rows: &[ExpectedRoute] = &[
        ("", "quay.io/a", &["h.example/a", "quay.io/a"]),
        ("", "ghcr.io/a:1", &["h.example/b:2", "ghcr.io/a"]),
        ("", "gcr.io/a", &["d.example/a", "gcr.io/a"]),
    ];
    check(&imported, rows);
    assert_eq!(codes(&imported), ["1:10 W-OPEN"]);
}

#[test]
fn other_documents_have_no_map() {
    let other = "kind: Namespace\nmetadata: {name: x}\n---\n\
                 kind: ConfigMap\nmetadata: {name: y}\n---\n\
                 kind: ConfigMap\ndata: {maps: [a]}\n";
    let want = ["1:1 I-SKIPPED", "4:1 E-VALUE", "8:14 E-VALUE"];
    assert_eq!(diagnostics(other), want);
    assert_eq!(diagnostics("{\"a\": 1}"), ["1:1 E-KIND"]);
}

#[test]
fn lines_within_a_config_map_know_their_place() {
    let text = "kind: ConfigMap\ndata:\n  maps: |\n    default::\n\n    bad\n      worse\n";
    assert_eq!(diagnostics(text), ["4:14 W-OPEN", "6:5 E-SEP", "7:7 E-SEP"]);
    let text = text.replace("|\n", ">-\n\n");
    // Folded lines are not lines of the file.
    assert_eq!(diagnostics(&text), ["5:5 E-SEP", "5:5 E-SEP", "5:5 W-OPEN"]);
}

#[test]
fn own_targets_are_loops() {
    let options = ImportOptions {
        own: &|registry| registry.as_str() == "mirror.corp:5000",
        ..OPTIONS
    };
    let text = "default::\nquay.io::mirror.corp:5000/quay.io";
    let imported = read("imageswap", &[("map", text)], &options);
    assert_eq!(codes(&imported), ["1:10 W-OPEN", "2:1 E-LOOP"]);
}

proptest::proptest! {
    #[test]
    fn no_map_panics(
        text in proptest::prop_oneof![
            ".{0,60}",
            "((\\[EXACT\\]|\\[REPLACE\\]|default|noswap_wildcards|docker\\.io|a|é|::|:|/|-|,|#| |\n|\t|\\[|@|\\{){0,3}){0,12}",
        ],
    ) {
        for format in ["imageswap", "palette"] {
            for diagnostic in read(format, &[("map", &text)], &OPTIONS).diagnostics {
                proptest::prop_assert!(!diagnostic.to_string().is_empty());
            }
        }
    }
}

#[test]
fn a_map_has_an_end() {
    for end in [",", "\n"] {
        assert_eq!(
            diagnostics(&format!("a{end}").repeat(200_001)),
            ["1:1 E-FILE", "1:1 W-NODEFAULT"]
        );
    }
}

#[test]
fn one_element_on_docker_hub_is_warned_of() {
    let lines = "default::x.y\n[EXACT]a.b/c:1::docker.io/d:1\n[REPLACE]a*::docker.io\n\
                 quay.io::docker.io/org\n";
    assert_eq!(diagnostics(lines), ["2:17 W-HUBROOT", "3:14 W-HUBROOT"]);
}
