//! No circles among the files of `src/`: two files that need each other can only be understood, moved and changed
//! together. An import, or a path in an expression, points to the file that defines the item, also where a parent
//! exports it again. Between a module and its own ancestors both directions are free: that is what `mod` is for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::resolve;
use crate::rust_code::{WrittenPath, code_only, module_of, paths, sources, test_files, without_tests};

/// Circles that are accepted, each as the files that reach each other. There is none; a new one has to be cut, not listed.
const KNOWN: &[&[&str]] = &[];

type Module = Vec<String>;

struct Source {
    path: PathBuf,
    code: String,
    paths: Vec<WrittenPath>,
}

struct Sources(BTreeMap<Module, Source>);

/// For each file the files that it needs, and one of the paths by which it does.
type Needs = BTreeMap<Module, BTreeMap<Module, String>>;

/// Longer chains of `pub use` do not occur; this ends those that go round.
const MAX_EXPORTS: usize = 8;

#[test]
fn files_need_each_other_in_one_direction_only() {
    let files = sources("src");
    let for_tests: Vec<PathBuf> = files.iter().flat_map(|(path, text)| test_files(path, text)).collect();
    let code = files.iter().filter(|(path, _)| !for_tests.iter().any(|excluded| path.starts_with(excluded)));
    let sources = Sources::read(code.map(|(path, text)| (path.as_path(), text.as_str())));
    let needs = sources.needs();
    let found: Vec<BTreeSet<Module>> = circles(&needs);
    let named =
        |circle: &BTreeSet<Module>| -> Vec<String> { circle.iter().map(|file| sources.name(file)).collect() };
    let found_names: Vec<Vec<String>> = found.iter().map(named).collect();

    let mut complaints = Vec::new();
    for (circle, names) in found.iter().zip(&found_names) {
        if !KNOWN.iter().any(|known| known == names) {
            complaints.push(format!("a circle: {names:?}\n{}", sources.explain(&needs, circle)));
        }
    }
    for known in KNOWN {
        if !found_names.iter().any(|names| known == names) {
            complaints.push(format!("this circle is gone or has changed, so take it from KNOWN: {known:?}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

impl Sources {
    fn read<'a>(files: impl Iterator<Item = (&'a Path, &'a str)>) -> Self {
        let source = |(path, text): (&'a Path, &str)| {
            let code = without_tests(&code_only(text));
            let mut module = module_of(path);
            // both crates' roots stand for the root: each is an ancestor of all its modules
            if module == ["lib"] || module == ["main"] {
                module.clear();
            }
            (module, Source { path: path.to_owned(), paths: paths(&code), code })
        };
        Self(files.map(source).collect())
    }

    fn name(&self, module: &Module) -> String {
        self.0[module].path.strip_prefix("src").unwrap_or(&self.0[module].path).display().to_string()
    }

    fn needs(&self) -> Needs {
        let of_file = |(module, source): (&Module, &Source)| {
            let mut needs = BTreeMap::new();
            for path in &source.paths {
                let Some(absolute) = self.absolute(module, &path.segments, 0) else { continue };
                let Some(definer) = self.definer(&absolute, 0) else { continue };
                if !definer.starts_with(module) && !module.starts_with(&definer) {
                    needs.entry(definer).or_insert_with(|| path.segments.join("::"));
                }
            }
            (module.clone(), needs)
        };
        self.0.iter().map(of_file).collect()
    }

    /// A path from the crate's root: as written, below an imported name, or below a child module.
    fn absolute(&self, module: &Module, path: &[String], exports: usize) -> Option<Module> {
        if let Some(absolute) = resolve(module, path) {
            return Some(absolute);
        }
        let first = path.first()?;
        let child = [module.as_slice(), std::slice::from_ref(first)].concat();
        if self.0.contains_key(&child) {
            return Some([module.as_slice(), path].concat());
        }
        let import = self.0.get(module)?.import(first).filter(|import| *import != path)?;
        let base = if exports < MAX_EXPORTS { self.absolute(module, import, exports + 1)? } else { return None };
        Some([base.as_slice(), &path[1..]].concat())
    }

    /// The file that defines the item of an absolute path, behind all that export it again.
    fn definer(&self, absolute: &[String], exports: usize) -> Option<Module> {
        let mut module = Module::new();
        for (index, segment) in absolute.iter().enumerate() {
            module.push(segment.clone());
            if self.0.contains_key(&module) {
                continue;
            }
            module.pop();
            let source = self.0.get(&module)?;
            if source.defines(segment) || exports == MAX_EXPORTS {
                return Some(module);
            }
            let imported = source.import(segment).into_iter().map(<[String]>::to_vec);
            let globs = source.globs().map(|glob| [glob, std::slice::from_ref(segment)].concat());
            for import in imported.chain(globs) {
                let Some(target) = self.absolute(&module, &import, 0) else { continue };
                let target = [target.as_slice(), &absolute[index + 1..]].concat();
                if let Some(definer) = self.definer(&target, exports + 1) {
                    return Some(definer);
                }
            }
            return Some(module);
        }
        Some(module)
    }

    /// The shortest way round, with the paths that make it.
    fn explain(&self, needs: &Needs, circle: &BTreeSet<Module>) -> String {
        let shortest = circle.iter().filter_map(|start| way_back(needs, circle, start)).min_by_key(Vec::len);
        let step = |pair: &[Module]| {
            let written = &needs[&pair[0]][&pair[1]];
            format!("    {} needs {} by `{written}`", self.name(&pair[0]), self.name(&pair[1]))
        };
        shortest.unwrap_or_default().windows(2).map(step).collect::<Vec<_>>().join("\n")
    }
}

impl Source {
    fn import(&self, name: &str) -> Option<&[String]> {
        let found = self.paths.iter().find(|path| path.imported_as.as_deref() == Some(name));
        found.map(|path| path.segments.as_slice())
    }

    /// What `use …::*` names, without the star.
    fn globs(&self) -> impl Iterator<Item = &[String]> {
        self.paths
            .iter()
            .filter_map(|path| path.segments.split_last())
            .filter(|(last, _)| *last == "*")
            .map(|it| it.1)
    }

    fn defines(&self, item: &str) -> bool {
        const KINDS: &[&str] =
            &["struct", "enum", "union", "trait", "type", "fn", "const", "static", "mod", "macro_rules!"];
        let begins = |kind: &&str| {
            self.code.match_indices(&format!("{kind} {item}")).any(|(at, found)| {
                let next = self.code[at + found.len()..].chars().next();
                next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
            })
        };
        KINDS.iter().any(begins)
    }
}

/// The groups of files that reach each other, of two files or more.
fn circles(needs: &Needs) -> Vec<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        needs.keys().map(|file| (file, reach(needs, file))).collect();
    let mut found: Vec<BTreeSet<Module>> = Vec::new();
    for (file, others) in &reached {
        let circle: BTreeSet<Module> =
            others.iter().filter(|other| reached[*other].contains(file)).map(|&other| other.clone()).collect();
        if !circle.is_empty() && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

/// All files that a file needs, by way of others too; itself only when it is in a circle.
fn reach<'a>(needs: &'a Needs, from: &Module) -> BTreeSet<&'a Module> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        for next in needs.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

/// The shortest way from a file of a circle back to it.
fn way_back(needs: &Needs, circle: &BTreeSet<Module>, start: &Module) -> Option<Vec<Module>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in needs.get(way.last()?)?.keys().filter(|next| circle.contains(*next)) {
                let way = [way.as_slice(), std::slice::from_ref(next)].concat();
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

mod the_finder {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources = Sources::read(files.iter().map(|(path, text)| (Path::new(*path), *text)));
        let needs = sources.needs();
        circles(&needs).iter().map(|circle| circle.iter().map(|file| sources.name(file)).collect()).collect()
    }

    #[test]
    fn finds_circles_however_the_paths_are_written() {
        let b = ("src/x/b.rs", "use crate::x::a::A;\npub struct B;");
        for a in [
            "use super::b::B;\npub struct A;",
            "use crate::x::{b::{self, B as Other}};\npub struct A;",
            "pub struct A;\nfn f() { super::b::B::new(); }",
            "use crate::x;\npub struct A(x::b::B);",
            "use super::B;\npub struct A;",
            "use crate::x::*;\npub struct A;\nfn f(_: crate::x::B) {}",
        ] {
            let parent = ("src/x/mod.rs", "mod a;\nmod b;\npub(crate) use b::B;");
            assert_eq!(found(&[parent, ("src/x/a.rs", a), b]), [["x/a.rs", "x/b.rs"]], "{a}");
        }
        let three = [
            ("src/a.rs", "use crate::b::B;\npub struct A;"),
            ("src/b.rs", "pub struct B(crate::c::C);"),
            ("src/c/mod.rs", "mod inner;\npub use inner::*;"),
            ("src/c/inner.rs", "use crate::a::A;\npub struct C;"),
        ];
        assert_eq!(found(&three), [["a.rs", "b.rs", "c/inner.rs"]]);
    }

    #[test]
    fn a_parent_and_its_children_and_code_for_tests_are_free() {
        let parent = ("src/x/mod.rs", "mod a;\nuse a::A;\npub struct X(A);");
        let child = ("src/x/a.rs", "use super::X;\npub struct A;");
        assert!(found(&[parent, child]).is_empty());
        let one = ("src/a.rs", "pub struct A;\n#[cfg(test)]\nmod tests {\n use crate::b::B;\n}");
        let other = ("src/b.rs", "// crate::c::C\nuse crate::a::A;\npub struct B;");
        assert!(found(&[one, other]).is_empty());
    }
}
