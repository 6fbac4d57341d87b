// From the bytes of a configuration file to the model, or to everything that is wrong with it. Opens
// no file but the one it is handed, asks nothing of the system, loads nothing.

import Base

/// What came of reading a file.
package struct ConfigurationReading: Sendable {
    /// What could be understood; nil if the text is no JSON5. Serve with it only if `diagnostics` is
    /// empty: see `configuration`. It is good for finding out which plugins are meant.
    package var draft: Configuration?
    /// Everything that is wrong, in the order of the file.
    package private(set) var diagnostics: [Diagnostic]

    /// The configuration, if nothing is wrong with it.
    package var configuration: Configuration? { diagnostics.isEmpty ? draft : nil }

    init(draft: Configuration?, diagnostics: [Diagnostic]) {
        self.draft = draft
        self.diagnostics = []
        add(diagnostics)
    }

    /// Adds what is wrong in view of the plugins that are loaded.
    package mutating func judge(against loaded: PluginNames) {
        if let draft { add(draft.diagnose(against: loaded)) }
    }

    private mutating func add(_ found: [Diagnostic]) {
        // The index keeps the order of what stands in one place.
        diagnostics = (diagnostics + found).enumerated().sorted { a, b in
            let (here, there) = (a.element.place, b.element.place)
            guard here != there else { return a.offset < b.offset }
            guard let here else { return true }
            guard let there else { return false }
            return (here.line, here.column) < (there.line, there.column)
        }.map(\.element)
    }
}

package enum ConfigurationParser {
    /// Reads the text of a file, of any content, and never stops at the first mistake, unless it is
    /// one of syntax.
    package static func read(_ bytes: [UInt8], file: String) -> ConfigurationReading {
        let root: JSONNode
        do throws(Diagnostic) {
            root = try JSON5.parse(bytes, file: file)
        } catch {
            return ConfigurationReading(draft: nil, diagnostics: [error])
        }
        var reader = Reader(file: file)
        var configuration = reader.configuration(root)
        configuration.fingerprint = hash64(root.encoded())
        return ConfigurationReading(draft: configuration, diagnostics: reader.diagnostics)
    }
}

extension ConfigurationParser {
    /// What the text of a file stands for, with its profile written out. Nil if it is not understood.
    package static func expanded(_ bytes: [UInt8], file: String) -> String? {
        guard let root = try? JSON5.parse(bytes, file: file) else { return nil }
        var reader = Reader(file: file)
        return OctopusProfile.expand(root, &reader).written()
    }
}

extension Reader {
    mutating func configuration(_ root: JSONNode) -> Configuration {
        var result = Configuration(file: file)
        let root = OctopusProfile.expand(root, &self)
        let strays = OctopusProfile.keys.filter { root[$0] != nil }
        guard
            let fields = object(
                root, "the configuration",
                keys: [
                    "workers", "plugins", "listeners", "pools", "access_log", "pid_file",
                    "drain_timeout", "user", "group", "admin", "log_level", "plugins_budget",
                    "plugins_watch",
                ] + strays,
                later: ["session", "tls"])
        else { return result }
        for key in strays {
            complain(
                fields.members.first { $0.key == key }?.keyPlace ?? root.place,
                "\"\(key)\" in the configuration is of no use without profile: \"octopus\"")
        }

        result.workers = integer(fields, "workers", 1...256)
        for node in list(fields, "plugins") {
            if let path = text(node, "a plugin or a folder of plugins") {
                result.plugins.append(Placed(path, at: node.place))
            }
        }
        if let budget = durationOrOff(fields, "plugins_budget") {
            result.pluginsBudget = budget ?? 0
        }
        if let watches = boolean(fields, "plugins_watch") { result.pluginsWatch = watches }
        result.accessLog = accessLog(fields)
        result.pidFile = placedText(fields, "pid_file")
        result.user = placedText(fields, "user")
        result.group = placedText(fields, "group")
        if let time = duration(fields, "drain_timeout", least: 0) { result.drainTimeout = time }
        if let level = choice(fields, "log_level", Log.Level.allCases.map { ($0.name, $0) }) {
            result.logLevel = level
        }
        result.admin = admin(fields)

        if let node = required(fields, "pools") { result.pools = pools(node) }
        if let node = required(fields, "listeners") {
            result.listeners = listeners(node, pools: result.pools.map(\.name))
        }
        if let admin = result.admin { judge(admin, beside: result.listeners) }
        return result
    }

    private mutating func accessLog(_ fields: Fields) -> AccessLog? {
        guard let node = fields["access_log"],
            let path = text(node, "\"access_log\" (a file, \"-\" for standard output, or \"off\")")
        else { return nil }
        return path == "off" ? nil : AccessLog(path: path, place: node.place)
    }

    private mutating func admin(_ fields: Fields) -> AdminAddress? {
        guard let node = fields["admin"],
            let admin = object(
                node, "\"admin\"", keys: ["address", "allow_remote"], later: ["tls"])
        else { return nil }
        let allowsRemote = flag(admin, "allow_remote") ?? false
        guard let written = required(admin, "address"),
            let address = address(written, of: "\"admin\"", listens: true)
        else { return nil }
        if case .ip(let ip, let port) = address, !ip.isLoopback, !allowsRemote {
            let loopback = ip.isV4 ? "127.0.0.1" : "[::1]"
            complain(
                written.place,
                "the address of \"admin\" is \(address), where other machines may ask; expected one "
                    + "of this machine alone, such as \"\(loopback):\(port)\", or "
                    + "\"allow_remote: true\" beside it")
        }
        return AdminAddress(
            address: address, place: written.place, allowsRemote: allowsRemote)
    }

    /// One address is either a listener's or for the operator.
    private mutating func judge(_ admin: AdminAddress, beside listeners: [Listener]) {
        guard case .ip(let ip, let port) = admin.address, port != 0 else { return }
        for listener in listeners {
            guard case .ip(let other, port) = listener.address,
                ip == other || ip.isUnspecified || other.isUnspecified
            else { continue }
            complain(
                admin.place,
                "the address of \"admin\", \(admin.address), is taken by the listener "
                    + "\(quoted(listener.name)) (\(listener.address)); expected another port")
        }
    }
}
