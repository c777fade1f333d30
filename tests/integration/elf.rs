//! What the programs are linked to, read from their dynamic sections.

#[cfg(target_os = "linux")]
mod linux {
    use std::path::Path;

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
    }

    fn index(n: u64) -> usize {
        usize::try_from(n).expect("an index")
    }

    /// The libraries a 64-bit little-endian ELF file needs (`DT_NEEDED`; the System V ABI, chapter 5).
    fn needed(path: &Path) -> Vec<String> {
        let bytes = std::fs::read(path).expect("a program");
        assert_eq!(&bytes[..6], b"\x7fELF\x02\x01", "64-bit, little-endian");
        let headers = index(u64_at(&bytes, 32));
        let size = usize::from(u16::from_le_bytes([bytes[54], bytes[55]]));
        let count = usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
        let segments: Vec<usize> = (0..count).map(|i| headers + i * size).collect();
        let dynamic = segments.iter().find(|&&at| u32_at(&bytes, at) == 2).expect("PT_DYNAMIC");
        let (start, len) = (index(u64_at(&bytes, dynamic + 8)), index(u64_at(&bytes, dynamic + 32)));
        let entries: Vec<(u64, u64)> = (start..start + len)
            .step_by(16)
            .map(|at| (u64_at(&bytes, at), u64_at(&bytes, at + 8)))
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let address = entries.iter().find(|(tag, _)| *tag == 5).expect("DT_STRTAB").1;
        let strings = segments
            .iter()
            .filter(|&&at| u32_at(&bytes, at) == 1)
            .find_map(|&at| {
                let (offset, start, len) =
                    (u64_at(&bytes, at + 8), u64_at(&bytes, at + 16), u64_at(&bytes, at + 32));
                (start..start + len).contains(&address).then(|| index(address - start + offset))
            })
            .expect("the segment of the names");
        let name = |at: u64| {
            let text = &bytes[strings + index(at)..];
            let end = text.iter().position(|byte| *byte == 0).expect("an end");
            String::from_utf8_lossy(&text[..end]).into_owned()
        };
        entries.iter().filter(|(tag, _)| *tag == 1).map(|(_, at)| name(*at)).collect()
    }

    #[test]
    fn only_the_worker_is_linked_to_libtorch() {
        let torch =
            |names: &[String]| names.iter().any(|name| name.contains("torch") || name.contains("c10"));
        let worker = needed(Path::new(env!("CARGO_BIN_EXE_tartan-worker")));
        assert!(torch(&worker), "{worker:?}");
        let tartan = needed(Path::new(env!("CARGO_BIN_EXE_tartan")));
        assert!(!tartan.is_empty() && !torch(&tartan), "{tartan:?}");
    }
}
