// A look at a shared object before anything maps it: dlopen itself crashes on files that are cut
// short or damaged, so the tables it will follow are followed here first, with every bound checked.
// Reads bytes, touches nothing; what only running it can show is the trial's.
//
// After the System V ABI, chapters 4 and 5, and the GNU hash section as binutils writes it.

import Balance

package enum ELF {
    /// Refuses what cannot be a plugin for this machine. The sentence does not name the file: it
    /// goes on after its name ("... is a text file, not a shared object").
    package static func inspect(_ bytes: [UInt8]) throws(Refusal) {
        var file = Image(bytes: bytes)
        try file.readHeader()
        try file.readSegments()
        try file.readDynamic()
        try file.findEntry()
    }

    #if arch(x86_64)
        static let machine: UInt16 = 62
    #elseif arch(arm64)
        static let machine: UInt16 = 183
    #else
        #error("an architecture that Trivet was never built for")
    #endif

    static func machineName(_ machine: UInt16) -> String {
        switch machine {
        case 3: "x86 (32 bit)"
        case 8: "mips"
        case 20, 21: "powerpc"
        case 22: "s390x"
        case 40: "arm (32 bit)"
        case 62: "x86_64"
        case 183: "aarch64"
        case 243: "riscv"
        case 258: "loongarch"
        default: "machine \(machine)"
        }
    }
}

/// One file under inspection.
private struct Image {
    let bytes: [UInt8]
    private var segments: [Segment] = []
    private var dynamic: Range<Int> = 0..<0
    private var tables: [UInt64: UInt64] = [:]

    private struct Segment {
        var address: UInt64
        var offset: UInt64
        var fileSize: UInt64
    }

    init(bytes: [UInt8]) { self.bytes = bytes }

    private static let cutShort = "is cut short or damaged"

    // Little-endian reads; outside of the file is a refusal.

    private func number(_ at: Int, _ size: Int) throws(Refusal) -> UInt64 {
        guard at >= 0, at <= bytes.count - size else { throw Refusal(Self.cutShort) }
        var value: UInt64 = 0
        for index in 0..<size { value |= UInt64(bytes[at + index]) << UInt64(index * 8) }
        return value
    }

    private func offset(_ value: UInt64) throws(Refusal) -> Int {
        guard let offset = Int(exactly: value), offset <= bytes.count else {
            throw Refusal(Self.cutShort)
        }
        return offset
    }

    mutating func readHeader() throws(Refusal) {
        guard !bytes.isEmpty else { throw Refusal("is empty") }
        guard bytes.starts(with: [0x7F, 0x45, 0x4C, 0x46]) else {
            let isText = bytes.prefix(512).allSatisfy { $0 >= 0x20 || ($0 >= 0x08 && $0 <= 0x0D) }
            throw Refusal(
                isText
                    ? "is a text file, not a shared object" : "is not a shared object (no ELF file)"
            )
        }
        guard bytes.count >= 64 else {
            throw Refusal("\(Self.cutShort): it ends inside its header")
        }
        let machine = UInt16(try number(18, 2))
        guard bytes[4] == 2, bytes[5] == 1, machine == ELF.machine else {
            let built = ELF.machineName(bytes[5] == 1 ? machine : machine.byteSwapped)
            throw Refusal(
                "is built for \(built), but this machine is \(ELF.machineName(ELF.machine))")
        }
        switch try number(16, 2) {
        case 3: break
        case 1: throw Refusal("is an object file; link it into a shared object (cc -shared)")
        case 2: throw Refusal("is a program, not a shared object")
        default: throw Refusal("is no shared object")
        }
    }

    mutating func readSegments() throws(Refusal) {
        let table = try offset(try number(32, 8))
        let (size, count) = (Int(try number(54, 2)), Int(try number(56, 2)))
        guard size >= 56, count > 0 else { throw Refusal("\(Self.cutShort): it has no segments") }
        for index in 0..<count {
            let at = table + index * size
            let kind = try number(at, 4)
            let (start, length) = (try number(at + 8, 8), try number(at + 32, 8))
            let (end, overflow) = start.addingReportingOverflow(length)
            guard !overflow, end <= UInt64(bytes.count) else {
                throw Refusal(
                    "is cut short: it has \(bytes.count) bytes, where one of its segments needs \(end)"
                )
            }
            if kind == 1 {
                guard try number(at + 40, 8) >= length else { throw Refusal(Self.cutShort) }
                segments.append(
                    Segment(address: try number(at + 16, 8), offset: start, fileSize: length))
            }
            if kind == 2 { dynamic = Int(start)..<Int(end) }
        }
        // Nothing maps the section headers, but they come last: where they are missing, so may more
        // be.
        let sections = try number(40, 8)
        let sectionBytes = try number(58, 2) * (try number(60, 2))
        if sections > 0 {
            let (end, overflow) = sections.addingReportingOverflow(sectionBytes)
            guard !overflow, end <= UInt64(bytes.count) else {
                throw Refusal("is cut short: it has \(bytes.count) bytes, where \(end) are needed")
            }
        }
        guard !segments.isEmpty, !dynamic.isEmpty else {
            throw Refusal("is no shared object: it has no dynamic section")
        }
    }

    mutating func readDynamic() throws(Refusal) {
        var at = dynamic.lowerBound
        while at + 16 <= dynamic.upperBound {
            let tag = try number(at, 8)
            if tag == 0 { break }
            tables[tag] = try number(at + 8, 8)
            at += 16
        }
        // DT_FLAGS_1 with DF_1_PIE: a program that only looks like a library.
        if let flags = tables[0x6FFF_FFFB], flags & 0x0800_0000 != 0 {
            throw Refusal("is a program, not a shared object")
        }
        // What dlopen follows without looking: each must lie within a segment of the file.
        for (start, size) in [(5, 10), (7, 8), (23, 2), (25, 27), (26, 28)] as [(UInt64, UInt64)] {
            guard let address = tables[start] else { continue }
            _ = try place(address, count: tables[size] ?? 0)
        }
    }

    /// Where an address of the image lies in the file, with `count` bytes after it.
    private func place(_ address: UInt64, count: UInt64) throws(Refusal) -> Int {
        for segment in segments where address >= segment.address {
            let within = address - segment.address
            let (end, overflow) = within.addingReportingOverflow(count)
            if !overflow, end <= segment.fileSize {
                return try offset(segment.offset + within)
            }
        }
        throw Refusal("\(Self.cutShort): one of its tables lies outside of it")
    }

    func findEntry() throws(Refusal) {
        guard let symbolTable = tables[6], let textTable = tables[5], let textSize = tables[10],
            tables[11] == 24
        else { throw Refusal("\(Self.cutShort): it has no table of symbols") }
        let count = try symbolCount()
        let symbols = try place(symbolTable, count: UInt64(count) * 24)
        let texts = try place(textTable, count: textSize)
        let wanted = Array("trivet_plugin_v1".utf8)
        var otherMajor = ""
        for index in 0..<count {
            let at = symbols + index * 24
            // Undefined, or not global and weak: not exported.
            guard try number(at + 6, 2) != 0, [1, 2].contains(bytes[at + 4] >> 4) else { continue }
            let start = try number(at, 4)
            guard start < textSize else { throw Refusal("\(Self.cutShort): a symbol has no name") }
            let name = bytes[(texts + Int(start))..<(texts + Int(textSize))]
            guard name.starts(with: wanted.dropLast()), let end = name.firstIndex(of: 0) else {
                continue
            }
            if name[..<end].elementsEqual(wanted) { return }
            otherMajor = String(decoding: name[..<end].prefix(64), as: UTF8.self)
        }
        if otherMajor.isEmpty {
            throw Refusal(
                "does not export trivet_plugin_v1, so it is no Trivet plugin (or it hides its symbols)"
            )
        }
        throw Refusal(
            "exports \(otherMajor), another version of the plugin interface; this Trivet knows v1 only"
        )
    }

    /// How many symbols there are; only the hash tables say so.
    private func symbolCount() throws(Refusal) -> Int {
        let count: UInt64
        if let hash = tables[4] {
            count = try number(try place(hash, count: 8) + 4, 4)
        } else if let hash = tables[0x6FFF_FEF5] {
            count = try gnuSymbolCount(hash)
        } else {
            throw Refusal("\(Self.cutShort): it has no hash table of symbols")
        }
        guard count <= UInt64(bytes.count / 24) else { throw Refusal(Self.cutShort) }
        return Int(count)
    }

    private func gnuSymbolCount(_ address: UInt64) throws(Refusal) -> UInt64 {
        let at = try place(address, count: 16)
        let (buckets, first) = (try number(at, 4), try number(at + 4, 4))
        let bloom = try number(at + 8, 4)
        guard buckets <= UInt64(bytes.count), bloom <= UInt64(bytes.count) else {
            throw Refusal(Self.cutShort)
        }
        let bucketTable = at + 16 + Int(bloom) * 8
        var last: UInt64 = 0
        for bucket in 0..<Int(buckets) {
            last = max(last, try number(bucketTable + bucket * 4, 4))
        }
        guard last >= first else { return first }
        // The chain of the last bucket ends with an odd hash, and with it the table.
        let chains = bucketTable + Int(buckets) * 4
        while try number(chains + Int(last - first) * 4, 4) & 1 == 0 { last += 1 }
        return last + 1
    }
}
