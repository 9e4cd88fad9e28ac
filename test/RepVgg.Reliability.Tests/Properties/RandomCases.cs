using CsCheck;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Testing;
using RepVgg.Weights;

namespace RepVgg.Reliability.Tests.Properties;

/// <summary>A stage of a random network.</summary>
internal sealed record StageCase(int Width, int Depth, int Stride);

/// <summary>A random network: what a failing property prints.</summary>
internal sealed record NetworkCase(int Channels, int Groups, SqueezeExcitation SqueezeExcitation, TrainingForm Form, int ConvolutionBranches, StageCase Stem, StageCase[] Stages, int Height, int Width, int Classes, int Seed)
{
    public RepVggArchitecture Architecture => new()
    {
        Name = "random",
        InputChannels = Channels,
        Groups = Groups,
        SqueezeExcitation = SqueezeExcitation,
        TrainingForm = Form,
        ConvolutionBranches = ConvolutionBranches,
        Stages = [new("stage0", Stem.Width, 1, Stem.Stride), .. Stages.Select((stage, i) => new StageSpec($"stage{i + 1}", stage.Width, stage.Depth, stage.Stride))],
    };

    public Normalization Normalization => new([.. Enumerable.Range(0, Channels).Select(c => 100f + c)], [.. Enumerable.Repeat(0.02f, Channels)]);

    public StateDict TrainingState => RandomStates.Training(Architecture, Classes, Seed);

    public DeployNetwork Deploy => RandomNetworks.Create(Architecture with { TrainingForm = TrainingForm.RepVgg }, Height, Width, Classes, Seed);

    public ModelDescription Description => new(Architecture, Classes, Height, Width, Normalization, [.. Enumerable.Range(0, Classes).Select(i => $"class {i}")]);

    public override string ToString() =>
        $"{Channels} channels, {Groups} groups, {SqueezeExcitation}, {Form}, {ConvolutionBranches} convolution branches, {string.Join(" ", new[] { Stem }.Concat(Stages).Select(stage => $"{stage.Width}x{stage.Depth}/{stage.Stride}"))}, {Height}x{Width} pixels, {Classes} classes, seed {Seed}";
}

/// <summary>Random networks and weights.</summary>
internal static class RandomCases
{
    /// <summary>Networks of every form, with and without groups and squeeze-and-excitation where the form is defined with them.</summary>
    public static Gen<NetworkCase> Networks { get; } =
        from channels in Gen.OneOf(1, 3)
        from form in Gen.Enum<TrainingForm>()
        from squeeze in form == TrainingForm.QARepVgg ? Gen.Const(SqueezeExcitation.None) : Gen.Enum<SqueezeExcitation>()
        from groups in Gen.Int[1, form == TrainingForm.ResidualReorg ? 1 : 3]
        from branches in Gen.Int[1, 4]
        let unit = groups * (squeeze switch { SqueezeExcitation.BeforeRelu => 16, SqueezeExcitation.AfterRelu => 4, _ => 1 })
        from stem in Stage(unit, 1)
        from stages in Stage(unit, 3).Array[1, 3]
        from height in Gen.Int[1, 20]
        from width in Gen.Int[1, 20]
        from classes in Gen.Int[1, 5]
        from seed in Gen.Int[0, 1000]
        let stride = stages.Aggregate(stem.Stride, (product, stage) => product * stage.Stride)
        select new NetworkCase(channels, groups, squeeze, form, branches, stem, stages, Math.Max(height, stride), Math.Max(width, stride), classes, seed);

    /// <summary>Networks of every form that can be fused.</summary>
    public static Gen<NetworkCase> Fusable { get; } = Networks.Where(network => Fusion.CanFuse(network.Form));

    /// <summary>Weights with names of printable characters and shapes of up to four dimensions.</summary>
    public static Gen<StateDict> States { get; } =
        from names in Gen.String[Gen.OneOf(Gen.Char.AlphaNumeric, Gen.Char['!', '~'], Gen.Char['\u00a1', '\u02af'], Gen.Char['\u4e00', '\u9fff']), 1, 40].Array[1, 6]
        from shapes in Gen.Int[0, 5].Array[0, 4].Array[names.Length]
        from seed in Gen.Int[0, 1000]
        select Create(names, shapes, seed);

    private static Gen<StageCase> Stage(int unit, int depth) =>
        from width in Gen.Int[1, Math.Max(1, 24 / unit)]
        from blocks in Gen.Int[1, depth]
        from stride in Gen.Int[1, 2]
        select new StageCase(width * unit, blocks, stride);

    private static StateDict Create(string[] names, int[][] shapes, int seed)
    {
        var random = new Random(seed);
        var state = new StateDict();
        for (int i = 0; i < names.Length; i++)
        {
            var tensor = TensorData.Zeros(shapes[i]);
            for (int v = 0; v < tensor.Values.Length; v++)
                tensor.Values[v] = (float)(random.NextDouble() * 2 - 1);
            state[names[i]] = tensor;
        }
        return state;
    }
}
