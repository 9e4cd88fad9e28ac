using Xunit;
using Xunit.Abstractions;

namespace RepVgg.Reliability.Tests.Soak;

/// <summary>A short soak; ten minutes by hand: docs/reliability.md.</summary>
public class SoakTests(ITestOutputHelper output)
{
    [Fact]
    public void Memory_stays_flat() => new SoakRun(threads: 16, seed: 1, output.WriteLine).Run(TimeSpan.FromSeconds(16), TimeSpan.FromSeconds(0.5));
}
