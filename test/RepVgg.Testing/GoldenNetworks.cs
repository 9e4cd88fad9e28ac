using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Testing;

/// <summary>The five golden networks: their architectures and weights.</summary>
internal static class GoldenNetworks
{
    private static readonly RepVggArchitecture _tiny = RepVggVariants.Create("tiny", [1, 2, 3, 1], 0.125, 0.125);

    public static TheoryData<string> Names => [.. All.Keys];

    public static IReadOnlyDictionary<string, RepVggArchitecture> All { get; } = new Dictionary<string, RepVggArchitecture>
    {
        ["tiny"] = _tiny,
        ["tiny-g2"] = _tiny with { Name = "tiny-g2", Groups = 2 },
        ["tiny-g4"] = _tiny with { Name = "tiny-g4", Groups = 4 },
        ["tiny-se"] = _tiny with
        {
            Name = "tiny-se",
            SqueezeExcitation = SqueezeExcitation.BeforeRelu,
            Stages = [new("stage0", 16, 1, 2), new("stage1", 16, 1, 2), new("stage2", 16, 2, 2), new("stage3", 16, 3, 2), new("stage4", 32, 1, 2)],
        },
        ["tinyplus-pse"] = _tiny with
        {
            Name = "tinyplus-pse",
            PlusLayout = true,
            SqueezeExcitation = SqueezeExcitation.AfterRelu,
            Stages =
            [
                new("stage0", 8, 1, 2), new("stage1", 8, 1, 2, AuxiliaryHead: true), new("stage2", 16, 2, 2, AuxiliaryHead: true),
                new("stage3_first", 32, 1, 2, AuxiliaryHead: true), new("stage3_second", 32, 2, 1), new("stage4", 64, 1, 2),
            ],
        },
    };

    public static StateDict TrainingState(string name) => PthReader.Read(GoldenFiles.PathOf($"{name}-train.pth"));

    public static StateDict DeployState(string name) => PthReader.Read(GoldenFiles.PathOf($"{name}-deploy.pth"));

    public static TensorData Input(string name) => GoldenFiles.Floats($"{name}-input.npy");
}
