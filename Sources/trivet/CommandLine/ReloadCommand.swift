// `trivet reload`: finds the supervisor that serves a configuration, asks it, and waits.

import Base
import Config
import Glibc
import Net

enum ReloadCommand {
    static func run(_ words: Words) throws(Failure) -> Int32 {
        let path = words.operands[0]
        let bytes = try readFile(path, what: "the configuration")
        // What is wrong with it, the running one is to say: it is found all the same if it can be.
        guard let draft = ConfigurationParser.read(bytes, file: path).draft else {
            _ = try ConfigurationFile.parse(bytes, file: path)
            return Failure.Reason.input.rawValue
        }
        let process = try supervisor(draft)
        switch try ask(process) {
        case .done(let sentence):
            say(sentence)
            return 0
        case .refused(let sentences): throw .input(sentences)
        }
    }

    private static func supervisor(_ configuration: Configuration) throws(Failure) -> pid_t {
        guard let placed = configuration.pidFile else {
            guard let admin = configuration.admin, admin.address.port != 0 else {
                throw .input([
                    "\(configuration.file) names no pid_file and no admin address with a port, by "
                        + "which the running Trivet could be found; send its supervisor SIGHUP instead"
                ])
            }
            return try AdminClient(address: admin.address).supervisor()
        }
        let path = configuration.resolve(placed.value)
        let text = String(decoding: try readFile(path, what: "pid_file"), as: UTF8.self)
        guard let number = text.split(whereSeparator: \.isWhitespace).first.flatMap({ pid_t($0) }),
            number > 0
        else { throw .input(["\(path) holds no process id"]) }
        return number
    }

    private static func ask(_ process: pid_t) throws(Failure) -> ReloadOutcome {
        guard let address = ControlSocket.address(of: process),
            case .connected(let fd) = Socket.connect(address)
        else {
            throw .system(
                "process \(process) cannot be asked: no Trivet of this user runs under that number")
        }
        let socket = Descriptor(fd)
        defer { withExtendedLifetime(socket) {} }
        var heard: [UInt8] = []
        while true {
            _ = waitForReading([socket.number], milliseconds: -1)
            switch readSome(socket.number, into: &heard) {
            case .done, .wait: continue
            case .failed(let code): throw .system("process \(process) fell silent", code: code)
            case .closed:
                guard let outcome = ReloadOutcome(heard) else {
                    throw .system("process \(process) ended before it had reloaded")
                }
                return outcome
            }
        }
    }
}
