// A plugin that is to be written: what it is called in its different places, and which files make it
// up. The files' texts are in the other files here; writing them is PluginNewCommand's.

/// One file of a new package.
struct TemplateFile {
    /// Below the package's folder.
    let path: String
    let text: String
    var isProgram = false
}

/// What `trivet plugin new` is asked for.
struct NewPlugin {
    enum Language { case swift, c }
    enum Kind { case strategy, check }

    /// In the configuration: "left-most".
    let name: String
    let language: Language
    let kind: Kind
    /// The folder of the SDK, absolute.
    let sdk: String

    /// The library's file, in the folder `plugins` of the package.
    var library: String { "lib\(name).so" }

    /// "LeftMost"
    private var camel: String {
        var text = ""
        for part in name.split(whereSeparator: { "-_.".contains($0) }) {
            text += part.prefix(1).uppercased() + part.dropFirst()
        }
        return text.first?.isNumber ?? true ? "Plugin" + text : text
    }

    /// The Swift module: "LeftMostPlugin".
    var module: String { camel + "Plugin" }

    /// The Swift type, which must not hide one that its own source uses.
    var type: String {
        let suffix = kind == .strategy ? "Strategy" : "Check"
        return Self.taken.contains(camel) || camel == module ? camel + suffix : camel
    }

    /// The C source: "left_most.c".
    var source: String {
        String(name.map { "-.".contains($0) ? "_" : $0 }) + ".c"
    }

    /// "strategy" or "health check", for sentences.
    var noun: String { kind == .strategy ? "strategy" : "health check" }

    /// Types of the SDK, and of Swift and its tests, as far as the templates come near them.
    private static let taken: Set<String> = [
        "Any", "Array", "Attending", "Bool", "Changes", "Character", "CheckSetup", "Decision",
        "Describing", "Description", "Double", "ErrorRef", "Float", "HealthCheck", "Host",
        "HostRef", "Int", "Judgement", "JSON", "Lasting", "Learning", "Load", "Metric", "Never",
        "Node", "NodeIndex", "NodeState", "Offer", "Optional", "Option", "Options", "Outcome",
        "Picked", "PickResult", "Plugin", "Pool", "Probe", "Protocol", "Refusal", "Reply",
        "Request", "Result", "Self", "Setup", "Span", "StateReader", "StateWriter",
        "StaticString", "Strategy", "String", "Suite", "TableRef", "Test", "TestCheck", "TestHost",
        "Testing", "TestPool", "TestStrategy", "Text", "Type", "Updating", "Verdict", "Void",
    ]
}

extension NewPlugin {
    /// What is wrong with a name, or nil. What the host takes from a table (pluginName in Balance), and
    /// no less: it becomes the name of a folder and of files.
    static func fault(in name: String) -> String? {
        let bytes = Array(name.utf8)
        let isPlain = bytes.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || [UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ".")].contains(byte)
        }
        let allowed = "lower-case letters, digits, \"-\", \"_\" and \".\""
        if !isPlain { return "a name is made of \(allowed): \"left-most\"" }
        guard let first = bytes.first else { return "a name must not be empty" }
        if first == UInt8(ascii: "-") || first == UInt8(ascii: "_") || first == UInt8(ascii: ".") {
            return "a name begins with a letter or a digit"
        }
        if bytes.count > 64 { return "a name has at most 64 characters, this one \(bytes.count)" }
        // Its Swift module, or its package's identity, would be the SDK's own.
        if ["trivet", "sdk", "trivet-sdk"].contains(name) { return "it is taken by Trivet itself" }
        return nil
    }

    /// All files of the package.
    /// - Parameter header: the text of trivet_plugin.h, of which a C plugin keeps a copy.
    func files(header: String) -> [TemplateFile] {
        let shared = [
            TemplateFile(path: "README.md", text: readme),
            TemplateFile(path: "trivet.json5", text: configuration),
            TemplateFile(path: ".gitignore", text: ".build/\nplugins/\naccess.log\ntrivet.pid\n"),
        ]
        switch language {
        case .swift:
            return [
                TemplateFile(path: "Package.swift", text: swiftManifest),
                TemplateFile(path: "Sources/\(module)/\(type).swift", text: swiftSource),
                TemplateFile(path: "Tests/\(module)Tests/\(type)Tests.swift", text: swiftTests),
                TemplateFile(path: "build", text: swiftBuild, isProgram: true),
            ] + shared
        case .c:
            return [
                TemplateFile(path: source, text: cSource),
                TemplateFile(path: "tests.c", text: cTests),
                TemplateFile(path: "trivet_plugin.h", text: header),
                TemplateFile(path: "build", text: cBuild, isProgram: true),
                TemplateFile(path: "test", text: cTestScript, isProgram: true),
            ] + shared
        }
    }

    /// What runs its tests.
    var testCommand: String { language == .swift ? "swift test" : "./test" }
}
