using Xunit;
using Xunit.Abstractions;

namespace RepVgg.Reliability.Tests.Kills;

/// <summary>Ten kills; fifty and more by hand: docs/reliability.md.</summary>
public class KillTests(ITestOutputHelper output)
{
    private const int Seed = 1;

    [Fact]
    public void A_training_run_that_is_killed_resumes_to_the_same_bits() => new KillRun(Seed, output.WriteLine).Train(kills: 4);

    [Fact]
    public void A_model_file_is_the_old_or_the_new_one_when_saving_is_killed() => new KillRun(Seed, output.WriteLine).SaveModel(kills: 3);

    [Fact]
    public void Weights_are_the_old_or_the_new_ones_when_writing_is_killed() => new KillRun(Seed, output.WriteLine).WriteWeights(kills: 3);
}
