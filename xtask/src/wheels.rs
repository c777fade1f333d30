//! The pinned wheels: which ones a machine needs, how large they are, what they hash to.

/// What libtorch is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    Cpu,
    Cuda,
}

impl Flavour {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }

    /// What the kept headers and libraries take once unpacked, in bytes: measured on `x86_64`, rounded up.
    pub(crate) fn unpacked(self) -> u64 {
        match self {
            Self::Cpu => 550_000_000,
            Self::Cuda => 4_000_000_000,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wheel {
    /// `name==version`.
    pub(crate) requirement: &'static str,
    pub(crate) bytes: u64,
    pub(crate) sha256: &'static str,
}

/// The wheels of a platform (`linux-x86_64`); none where there is no libtorch for it.
pub(crate) fn wheels(platform: &str, flavour: Flavour) -> Vec<Wheel> {
    include_str!("../wheels.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [at, needs, requirement, bytes, sha256]
                if at == platform && (needs == "cpu" || needs == flavour.name()) =>
            {
                Some(Wheel { requirement, bytes: bytes.parse().ok()?, sha256 })
            }
            _ => None,
        })
        .collect()
}

/// The wheels as a requirements file, in which pip verifies every hash.
pub(crate) fn requirements(wheels: &[Wheel]) -> String {
    let line = |wheel: &Wheel| format!("{} --hash=sha256:{}", wheel.requirement, wheel.sha256);
    wheels.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The platform tags a wheel for `platform` may carry, the newest first, as pip wants them listed.
pub(crate) fn tags(platform: &str) -> Vec<String> {
    match platform.split_once('-') {
        Some(("linux", arch)) => {
            let legacy = ["manylinux2014", "manylinux2010", "manylinux1"].map(|tag| format!("{tag}_{arch}"));
            (5..=28).rev().map(|minor| format!("manylinux_2_{minor}_{arch}")).chain(legacy).collect()
        }
        Some(("macos", _)) => vec!["macosx_11_0_arm64".to_owned()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorch::VERSION;

    #[test]
    fn every_line_of_the_table_is_whole() {
        let lines = include_str!("../wheels.txt").lines().filter(|line| !line.starts_with('#')).count();
        let read: usize = ["linux-x86_64", "linux-aarch64", "macos-aarch64"]
            .map(|platform| wheels(platform, Flavour::Cuda))
            .iter()
            .inspect(|wheels| {
                assert_eq!(wheels[0].requirement, format!("torch=={VERSION}"));
                for wheel in *wheels {
                    assert!(wheel.requirement.contains("=="), "{wheel:?}");
                    assert!(wheel.bytes > 0, "{wheel:?}");
                    assert!(
                        wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()),
                        "{wheel:?}"
                    );
                }
            })
            .map(Vec::len)
            .sum();
        assert_eq!(read, lines);
    }

    #[test]
    fn without_a_gpu_only_what_libtorch_cpu_needs() {
        let names = |platform, flavour| {
            let split = |wheel: &Wheel| wheel.requirement.split_once("==").map(|(name, _)| name.to_owned());
            wheels(platform, flavour).iter().filter_map(split).collect::<Vec<_>>()
        };
        assert_eq!(
            names("linux-x86_64", Flavour::Cpu),
            ["torch", "nvidia-cuda-cupti", "nvidia-cuda-runtime"]
        );
        assert_eq!(names("macos-aarch64", Flavour::Cpu), ["torch"]);
        assert!(names("linux-x86_64", Flavour::Cuda).contains(&"nvidia-cudnn-cu13".to_owned()));
        assert!(names("freebsd-x86_64", Flavour::Cpu).is_empty());
    }

    #[test]
    fn pip_is_asked_by_hash() {
        let wheel = Wheel { requirement: "a==1", bytes: 1, sha256: "00ff" };
        assert_eq!(requirements(&[wheel]), "a==1 --hash=sha256:00ff");
        assert_eq!(tags("linux-aarch64")[0], "manylinux_2_28_aarch64");
        assert!(tags("linux-x86_64").contains(&"manylinux2014_x86_64".to_owned()));
    }
}
