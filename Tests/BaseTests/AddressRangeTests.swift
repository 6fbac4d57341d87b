// Ranges decide who is trusted: one bit too wide, and anybody forges the client's address.

import Testing

@testable import Base

@Suite struct AddressRangeTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "9.255.255.255", false), ("10.1.2.3/8", "10.9.9.9", true),
        ("192.168.1.4/31", "192.168.1.5", true), ("192.168.1.4/31", "192.168.1.6", false),
        ("192.168.1.4", "192.168.1.4", true), ("192.168.1.4", "192.168.1.5", false),
        ("0.0.0.0/0", "8.8.8.8", true), ("0.0.0.0/0", "::1", false), ("::/0", "::1", true),
        ("::/0", "8.8.8.8", false), ("fd00::/8", "fdff::1", true), ("fd00::/8", "fe00::1", false),
        ("2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", true),
        ("2001:db8::/64", "2001:db8:0:1::", false), ("2001:db8::/65", "2001:db8:0:0:8000::", false),
        ("2001:db8::/65", "2001:db8:0:0:7fff::", true), ("::1", "::1", true), ("::1", "::2", false),
        ("::ffff:10.0.0.0/104", "10.1.1.1", true), ("::ffff:10.0.0.0/104", "11.1.1.1", false),
        ("10.0.0.0/8", "::ffff:10.0.0.1", true),
    ])
    func `exactly the addresses of the prefix belong`(range: String, text: String, inside: Bool)
        throws
    {
        let range = try #require(AddressRange(range))
        let address = try #require(IPAddress(text))
        #expect(range.contains(address) == inside)
    }

    @Test(arguments: [
        "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08",
        "10.0.0.0/8/8",
        "10.0.0.0/8 ", "10.0/8", "::/129", "::/1000", "host/8", "10.0.0.0/255.0.0.0", "10.0.0.0/٨",
    ])
    func `what is no range is refused`(text: String) {
        #expect(AddressRange(text) == nil)
    }

    @Test(arguments: [
        ("10.1.2.3/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("fd00::1/8", "fd00::/8"),
        ("::1", "::1/128"), ("::ffff:10.1.2.3/104", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"),
    ])
    func `a range is shown as it is used`(text: String, shown: String) {
        #expect(AddressRange(text)?.description == shown)
    }
}
