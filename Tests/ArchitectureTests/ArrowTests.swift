// Who may import whom, read from the import lines of the sources. The table is the one drawn in
// Sources/README.md; an arrow that is not in it is a change of the design, not of this test.

import Testing

@Suite struct ArrowTests {
    /// What each module may import of the house. System modules are judged below.
    static let allowed: [String: Set<String>] = [
        "SDK/CTrivet": [],
        "SDK/TrivetPlugin": ["CTrivet"],
        "SDK/TrivetTesting": ["TrivetPlugin", "CTrivet"],
        "Plugins": ["TrivetPlugin", "CTrivet", "Affinity"],
        "Plugins/Affinity": ["TrivetPlugin", "CTrivet"],
        "Sources/CLinux": [],
        "Sources/Base": [],
        "Sources/Config": ["Base"],
        "Sources/Net": ["Base", "CLinux"],
        "Sources/HTTP": ["Base"],
        "Sources/Balance": ["Base", "CLinux", "CTrivet"],
        "Sources/Loading": ["Balance", "Base", "CLinux", "CTrivet"],
        "Sources/Proxy": ["Net", "HTTP", "Balance", "Loading", "Config", "Base"],
        "Sources/Admin": ["Proxy", "Net", "HTTP", "Balance", "Base"],
        "Sources/trivet": [
            "Admin", "Proxy", "Net", "HTTP", "Balance", "Loading", "Config", "Base", "CLinux",
        ],
    ]

    static let house: Set<String> = [
        "Base", "Config", "Net", "HTTP", "Balance", "Loading", "Proxy", "Admin", "CLinux",
        "CTrivet", "TrivetPlugin", "TrivetTesting", "trivet", "Affinity",
    ]

    @Test("No module imports what it must not know")
    func arrows() throws {
        for (folder, mayImport) in Self.allowed {
            let files = try SourceTree.files(in: folder, ending: ".swift")
            if folder != "SDK/CTrivet" && folder != "Sources/CLinux" {
                #expect(!files.isEmpty, "\(folder) is empty: has it moved?")
            }
            for file in files {
                for module in SourceTree.imports(of: file) where Self.house.contains(module) {
                    #expect(
                        mayImport.contains(module), "\(file) imports \(module), which it must not")
                }
            }
        }
    }

    @Test("The host starts without Foundation")
    func noFoundation() throws {
        for file in try SourceTree.files(in: "Sources", ending: ".swift") {
            for module in SourceTree.imports(of: file) {
                #expect(!module.hasPrefix("Foundation"), "\(file) imports \(module)")
            }
        }
    }

    @Test("Parsers touch neither the system nor raw memory they do not own")
    func sansIO() throws {
        for folder in ["Sources/HTTP", "Sources/Config"] {
            for file in try SourceTree.files(in: folder, ending: ".swift") {
                let imports = SourceTree.imports(of: file)
                #expect(!imports.contains("Glibc"), "\(file) imports Glibc")
            }
        }
    }

    @Test("The package depends on no other package")
    func noPackages() throws {
        let manifest = try SourceTree.text(of: "Package.swift")
        #expect(!manifest.contains(".package("))
    }

    @Test("Nothing but what was agreed stands at the top level")
    func topLevel() throws {
        let agreed: Set<String> = [
            "Package.swift", "Sources", "Plugins", "Tests", "SDK", "README.md",
        ]
        for name in try SourceTree.entries(of: "") where !name.hasPrefix(".") {
            #expect(agreed.contains(name), "\(name) stands at the top level")
        }
    }

    @Test("The ABI header stays short enough to be read whole")
    func headerLength() throws {
        let header = try SourceTree.text(of: "SDK/CTrivet/include/trivet_plugin.h")
        #expect(header.split(separator: "\n", omittingEmptySubsequences: false).count <= 500)
    }

    @Test("Every source file opens with what it is for")
    func openings() throws {
        for folder in ["Sources", "SDK", "Plugins", "Tests"] {
            for file in try SourceTree.files(in: folder, ending: ".swift") {
                let opens = try SourceTree.text(of: file).hasPrefix("//")
                #expect(opens, "\(file) does not open with a comment on what it is for")
            }
        }
    }
}
