using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Optimizers;

/// <summary>Files of scales, and which networks they fit.</summary>
public sealed class RepOptimizerScalesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static RepVggArchitecture Architecture => RepOptGolden.Architecture;

    private string Written(StateDict state, string name = "scales.pth")
    {
        string path = _folder.File(name);
        if (name.EndsWith(".safetensors", StringComparison.Ordinal))
            SafetensorsWriter.Write(state, path);
        else
            PthWriter.Write(state, path);
        return path;
    }

    private static StateDict Changed(Action<StateDict, StateDict> change)
    {
        var state = new StateDict();
        change(RepOptGolden.Scales.ToState(), state);
        return state;
    }

    private static void Same(RepOptimizerScales expected, RepOptimizerScales actual)
    {
        Assert.Equal(expected.Hash, actual.Hash);
        var (before, after) = (expected.ToState(), actual.ToState());
        Assert.Equal(before.Names.Order(), after.Names.Order());
        foreach (var (name, tensor) in before)
            Assert.Equal(tensor.Values, after[name].Values);
    }

    /// <summary>Number, mean, smallest and largest value and share of negative ones, as they were measured in the published files.</summary>
    [Theory]
    [InlineData("B1", "scale_conv", 28, 0.5690, -1.2671, 2.5249, 0.00688)]
    [InlineData("B1", "scale_1x1", 28, 0.6142, -0.3522, 2.1554, 0.00575)]
    [InlineData("B1", "scale_identity", 23, 0.5345, 0.2633, 1.5508, 0)]
    [InlineData("L1", "scale_conv", 48, 0.4491, -1.8345, 2.5603, 0.04893)]
    [InlineData("L1", "scale_1x1", 48, 0.5010, -0.7557, 2.5562, 0.03199)]
    [InlineData("L1", "scale_identity", 43, 0.5217, 0.2744, 2.4842, 0)]
    public void Published_scales_are_read(string variant, string kind, int count, double mean, double smallest, double largest, double negative)
    {
        var scales = RepOptimizerScales.Load(RepOptGolden.PathOf($"RepOpt-VGG-{variant}-scales.pth"));
        scales.Validate(RepVggVariants.Find($"RepOpt-VGG-{variant}"));
        TensorData[] tensors = [.. scales.ToState().Where(pair => pair.Key.Contains($".{kind}.", StringComparison.Ordinal)).Select(pair => pair.Value)];
        double[] values = [.. tensors.SelectMany(tensor => tensor.Values).Select(value => (double)value)];
        Assert.Equal(count, tensors.Length);
        Assert.Equal(mean, values.Average(), 1e-4);
        Assert.Equal(smallest, values.Min(), 1e-4);
        Assert.Equal(largest, values.Max(), 1e-4);
        Assert.Equal(negative, values.Count(value => value < 0) / (double)values.Length, 1e-5);
    }

    [Fact]
    public void Scales_of_another_variant_are_refused_with_the_shapes_of_both()
    {
        string path = RepOptGolden.PathOf("RepOpt-VGG-L1-scales.pth");
        string error = Assert.Throws<ArgumentException>(() => RepOptimizerScales.Load(path).Validate(RepVggVariants.RepOptB1)).Message;
        Assert.Contains($"The scales in '{path}' do not fit RepOpt-VGG-B1", error);
        Assert.Contains("stage1: 8 of 128 channels", error);
        Assert.Contains("RepOpt-VGG-B1 has the blocks stage0: 1 of 64 channels, stage1: 4 of 128 channels", error);
        Assert.Contains("Surplus (60): stage1.4.scale_conv.weight", error);

        error = Assert.Throws<ArgumentException>(() => RepOptimizerScales.Load(RepOptGolden.PathOf("RepOpt-VGG-B1-scales.pth")).Validate(RepVggVariants.RepOptL2)).Message;
        Assert.Contains("Missing (60): ", error);
        Assert.Contains("stage1.0.scale_conv.weight is [128], not [160]", error);
    }

    [Fact]
    public void The_order_and_prefixes_have_no_meaning()
    {
        var reversed = Changed((all, state) =>
        {
            foreach (var (name, tensor) in all.Reverse())
                state["module." + name] = tensor;
        });
        foreach (string name in (string[])["reversed.pth", "reversed.safetensors"])
        {
            var scales = RepOptimizerScales.Load(Written(reversed, name));
            scales.Validate(Architecture);
            Same(RepOptGolden.Scales, scales);
        }
    }

    [Fact]
    public void Of_a_whole_checkpoint_only_the_scales_are_used()
    {
        var scales = RepOptimizerScales.Load(RepOptGolden.PathOf("csla-initial.pth"));
        scales.Validate(Architecture);
        Same(RepOptGolden.Scales, scales);
        Assert.Equal(12, scales.ToState().Count);
    }

    [Theory]
    [InlineData("scales.pth")]
    [InlineData("scales.PT")]
    [InlineData("scales.safetensors")]
    public void Written_scales_are_read_again(string name)
    {
        string path = _folder.File(name);
        RepOptGolden.Scales.Save(path);
        Same(RepOptGolden.Scales, RepOptimizerScales.Load(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Theory]
    [InlineData("scales.onnx")]
    [InlineData("scales")]
    public void Another_extension_is_refused(string name)
    {
        Assert.Contains("must be .pth, .pt or .safetensors", Assert.Throws<ArgumentException>(() => RepOptGolden.Scales.Save(_folder.File(name))).Message);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void Initial_scales_depend_on_the_position_in_the_stage()
    {
        var scales = RepOptimizerScales.Initial(RepVggVariants.A0);
        scales.Validate(RepVggVariants.A0);
        var state = scales.ToState();
        foreach (var (block, expected) in (ReadOnlySpan<(string, double)>)[("stage0", 1), ("stage1.0", 1), ("stage1.1", Math.Sqrt(2)), ("stage3.4", Math.Sqrt(0.5)), ("stage3.8", 0.5)])
        {
            Assert.All(state[$"{block}.scale_conv.weight"].Values, value => Assert.Equal(expected, value, 1e-6));
            Assert.All(state[$"{block}.scale_1x1.weight"].Values, value => Assert.Equal(expected, value, 1e-6));
        }
        Assert.All(state["stage3.4.scale_identity.weight"].Values, value => Assert.Equal(1, value));
        // The authors' search starts with them.
        Same(scales, RepOptimizerScales.FromState(Initialization.Draw(RepVggVariants.A0 with { TrainingForm = TrainingForm.HyperSearch }, 10, seed: 1)));
    }

    [Fact]
    public void Missing_and_surplus_scales_are_named()
    {
        var state = Changed((all, state) =>
        {
            foreach (var (name, tensor) in all)
                state[name == "stage1.1.scale_identity.weight" ? "stage1.0.scale_identity.weight" : name] = tensor;
        });
        string path = Written(state);
        string error = Assert.Throws<ArgumentException>(() => RepOptimizerScales.Load(path).Validate(Architecture)).Message;
        Assert.Contains($"'{path}'", error);
        Assert.Contains("Missing (1): stage1.1.scale_identity.weight", error);
        Assert.Contains("Surplus (1): stage1.0.scale_identity.weight", error);
    }

    [Theory]
    [InlineData(float.NaN, "NaN")]
    [InlineData(float.NegativeInfinity, "-Infinity")]
    public void Scales_that_are_not_finite_are_named(float value, string text)
    {
        var state = RepOptGolden.Scales.ToState();
        state["stage1.1.scale_conv.weight"].Values[3] = value;
        state["stage2.1.scale_identity.weight"].Values[0] = value;
        string path = Written(state);
        string error = Assert.Throws<InvalidDataException>(() => RepOptimizerScales.Load(path)).Message;
        Assert.Contains($"'{path}'", error);
        Assert.Contains($"stage1.1.scale_conv.weight has {text} at index 3; stage2.1.scale_identity.weight has {text} at index 0", error);
        Assert.StartsWith($"The scales cannot be used: scales must be finite numbers: stage1.1.scale_conv.weight has {text} at index 3", Assert.Throws<ArgumentException>(() => RepOptimizerScales.FromState(state)).Message);
    }

    [Fact]
    public void Scales_that_are_no_vectors_are_refused()
    {
        var state = RepOptGolden.Scales.ToState();
        state["stage0.scale_conv.weight"] = TensorData.Zeros(8, 1, 1);
        Assert.Contains("stage0.scale_conv.weight is [8, 1, 1]", Assert.Throws<InvalidDataException>(() => RepOptimizerScales.Load(Written(state))).Message);
    }

    [Fact]
    public void Files_without_scales_are_refused()
    {
        string plain = RepOptGolden.PathOf("plain-initial.pth");
        Assert.Contains("is a scale", Assert.Throws<InvalidDataException>(() => RepOptimizerScales.Load(plain)).Message);
        Assert.Throws<FileNotFoundException>(() => RepOptimizerScales.Load(_folder.File("missing.pth")));
        foreach (var (content, what) in (ReadOnlySpan<(string, string)>)[("", "is empty"), ("<!doctype html><html>", "is a web page"), ("scales", "has an unknown format")])
        {
            string path = _folder.File("content.pth");
            File.WriteAllText(path, content);
            Assert.Contains($"'{path}' {what}", Assert.Throws<InvalidDataException>(() => RepOptimizerScales.Load(path)).Message);
        }
    }

    [Fact]
    public void Two_networks_in_a_file_are_not_mixed()
    {
        var state = Changed((all, state) =>
        {
            foreach (var (name, tensor) in all)
                (state["student." + name], state["other." + name]) = (tensor, tensor);
        });
        Assert.Contains("'student.; other.'".Replace("; ", "', '", StringComparison.Ordinal), Assert.Throws<InvalidDataException>(() => RepOptimizerScales.Load(Written(state))).Message);
    }

    [Fact]
    public void Later_changes_of_the_tensors_have_no_effect()
    {
        var state = RepOptGolden.Scales.ToState();
        var scales = RepOptimizerScales.FromState(state);
        state["stage0.scale_conv.weight"].Values[0] = 100;
        scales.ToState()["stage0.scale_1x1.weight"].Values[0] = 100;
        Same(RepOptGolden.Scales, scales);
    }
}
