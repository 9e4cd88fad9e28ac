using RepVgg.Testing;
using Xunit;
using Xunit.Abstractions;

namespace RepVgg.Reliability.Tests.Soak;

/// <summary>A short soak, in a process of its own, whose memory no other test uses; ten minutes by hand: docs/reliability.md.</summary>
public class SoakTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Memory_stays_flat() =>
        output.WriteLine(await new ChildProgram(typeof(SoakTests).Assembly).RunAsync("soak", "--seconds", "16", "--threads", "16", "--interval", "500"));
}
