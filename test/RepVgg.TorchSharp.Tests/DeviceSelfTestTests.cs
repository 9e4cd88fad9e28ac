using System.Text.RegularExpressions;
using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using Xunit;

namespace RepVgg.TorchSharp.Tests;

public class DeviceSelfTestTests
{
    private static readonly RepVggArchitecture _narrow = new()
    {
        Name = "narrow",
        InputChannels = 1,
        Stages = [new("stage0", 12, 1, 2), new("stage1", 20, 4, 2), new("stage2", 28, 2, 2)],
    };

    [Fact]
    public void A_sound_device_passes()
    {
        using var sound = new AlteredBackend();
        using var reference = new CpuBackend(2);
        foreach (var network in (RepVggArchitecture?[])[null, _narrow, RepVggVariants.S1, GoldenNetworks.All["tiny-g4"], GoldenNetworks.All["tiny-se"], GoldenNetworks.All["tinyplus-pse"]])
            DeviceSelfTest.Run(sound, reference, new TorchBackendOptions { Network = network });
        foreach (var form in TrainingForms.All)
            DeviceSelfTest.Run(sound, reference, new TorchBackendOptions { Network = _narrow with { TrainingForm = form, Stages = [.. _narrow.Stages[..^1], _narrow.Stages[^1] with { Depth = 3 }] } });
    }

    public static TheoryData<string> Faults => ["a fixed output", "no number", "wrong logits", "wrong gradients", "no ReLU", "no step"];

    [Theory]
    [MemberData(nameof(Faults))]
    public void Wrong_numbers_are_refused_with_the_evidence(string fault)
    {
        // Even the tolerances of fast precisions let none of these pass.
        var options = new TorchBackendOptions { CudaDevice = 0, Bfloat16 = fault is "a fixed output" or "no number" };
        using var faulty = fault switch
        {
            "a fixed output" => new AlteredBackend { LogitFactor = 0 },
            "no number" => new AlteredBackend { LogitFactor = float.NaN },
            "wrong logits" => new AlteredBackend { LogitFactor = 1.2f },
            "wrong gradients" => new AlteredBackend { GradientFactor = 1.2f },
            "no ReLU" => new AlteredBackend { SkipsReluBackward = true },
            _ => new AlteredBackend { OptimizerDoesNothing = true },
        };
        using var reference = new CpuBackend(1);
        foreach (var network in (RepVggArchitecture?[])[null, _narrow])
        {
            var error = Assert.Throws<DeviceUnavailableException>(() => DeviceSelfTest.Run(faulty, reference, options with { Network = network }));
            Assert.True(error.ComputesWrongNumbers);
            Assert.Matches($@"^Altered device 3 computes wrong numbers and is not used: in {network?.Name ?? "a small network"}, .+ has a value of .+ where CPU, 1 thread, .+ has .+ \(.+ of the tensor is off, allowed (5|30)\.0 ?%\)\. Check that the GPU's driver", error.Message);
        }
    }

    [Fact]
    public void A_device_that_is_wrong_for_some_numbers_of_channels_is_refused_for_networks_that_have_them()
    {
        using var faulty = new AlteredBackend { FaultyConvolution = (kernel, _, _) => kernel[2] == 3 && kernel[1] > 3 && kernel[1] % 8 != 0 };
        using var reference = new CpuBackend(2);
        DeviceSelfTest.Run(faulty, reference, new TorchBackendOptions());
        DeviceSelfTest.Run(faulty, reference, new TorchBackendOptions { Network = RepVggVariants.S1 });
        foreach (var network in (RepVggArchitecture[])[_narrow, RepVggVariants.S1 with { Stages = [.. RepVggVariants.S1.Stages[..^1], new StageSpec("stage3", 130, 2, 1)] }])
        {
            var error = Assert.Throws<DeviceUnavailableException>(() => DeviceSelfTest.Run(faulty, reference, new TorchBackendOptions { Network = network }));
            Assert.Contains($"in {network.Name}, ", error.Message, StringComparison.Ordinal);
            Assert.Contains("ONEDNN_MAX_CPU_ISA", error.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>Numbers of input and output channels of a layer, its kernel and its stride.</summary>
    public static TheoryData<int, int, int, int> Layers
    {
        get
        {
            var layers = new TheoryData<int, int, int, int>();
            foreach (int width in new[] { 12, 20, 24, 28, 36, 48, 52, 100, 129 })
            {
                foreach (var (kernel, stride) in new[] { (3, 1), (1, 1), (3, 2), (1, 2) })
                    layers.Add(width, stride == 1 ? width : 2 * width, kernel, stride);
            }
            foreach (var (inputs, outputs) in new[] { (48, 96), (48, 100), (96, 100) })
                layers.Add(inputs, outputs, 3, 2);
            return layers;
        }
    }

    [Theory]
    [MemberData(nameof(Layers))]
    public void A_device_that_is_wrong_in_one_layer_is_refused_for_networks_that_have_it(int inputs, int outputs, int kernel, int stride)
    {
        using var faulty = new AlteredBackend { FaultyConvolution = (shape, step, _) => shape[0] == outputs && shape[1] == inputs && shape[2] == kernel && step == stride };
        using var reference = new CpuBackend(2);
        // The second stage has the layer: at its first block with a stride of 2, or at its second block.
        var network = new RepVggArchitecture { Name = "with the layer", InputChannels = 3, Stages = [new("stage0", inputs, 1, 2), new("stage1", outputs, 2, 2), new("stage2", 40, 1, 2)] };
        var error = Assert.Throws<DeviceUnavailableException>(() => DeviceSelfTest.Run(faulty, reference, new TorchBackendOptions { Network = network }));
        Assert.True(error.ComputesWrongNumbers);
        Assert.Contains($"stage1.{(stride == 2 ? 0 : 1)}", error.Message, StringComparison.Ordinal);
        DeviceSelfTest.Run(faulty, reference, new TorchBackendOptions { Network = network with { Stages = [new("stage0", 16, 1, 2), new("stage1", 32, 2, 2), new("stage2", 40, 1, 2)] } });
    }

    public static TheoryData<string, string, string> PartialFaults => new()
    {
        // What is faulty, the network that has it, and where the message says that it is.
        { "grouped convolutions", "tiny-g4", string.Join('|', GoldenNetworks.All["tiny-g4"].Blocks.Where(block => block.Groups > 1).Select(block => Regex.Escape(block.Name))) },
        { "a sigmoid", "tiny-se", @"stage\d(\.\d)?( |\.se)" },
        { "the auxiliary heads", "tinyplus-pse", @"stage2_aux" },
        { "evaluation", "tiny", @"in evaluation" },
    };

    [Theory]
    [MemberData(nameof(PartialFaults))]
    public void Every_part_of_the_network_is_compared(string fault, string name, string where)
    {
        using var faulty = fault switch
        {
            "grouped convolutions" => new AlteredBackend { FaultyConvolution = (_, _, groups) => groups > 1 },
            "a sigmoid" => new AlteredBackend { SigmoidFactor = 1.1f },
            // In this network no block has a stride of 2 from 16 to 16 channels.
            "the auxiliary heads" => new AlteredBackend { FaultyConvolution = (kernel, stride, _) => stride == 2 && kernel[0] == 16 && kernel[1] == 16 },
            _ => new AlteredBackend { EvaluationFactor = 1.1f },
        };
        using var reference = new CpuBackend(2);
        var error = Assert.Throws<DeviceUnavailableException>(() => DeviceSelfTest.Run(faulty, reference, new TorchBackendOptions { Network = GoldenNetworks.All[name] }));
        Assert.Matches($"in {name}, .*({where})", error.Message);
    }

    [Fact]
    public void Full_precision_is_tested_first_where_the_device_computes_in_less()
    {
        Assert.Null(TorchBackends.FullPrecision(new TorchBackendOptions()));
        Assert.Null(TorchBackends.FullPrecision(new TorchBackendOptions { CudaDevice = 0, AllowTf32 = false }));
        foreach (var options in (TorchBackendOptions[])[new() { CudaDevice = 1 }, new() { Bfloat16 = true }, new() { CudaDevice = 1, Bfloat16 = true }])
            Assert.Equal(options with { AllowTf32 = false, Bfloat16 = false }, TorchBackends.FullPrecision(options));
    }

    [Fact]
    public void A_network_that_cannot_be_built_is_an_argument_error()
    {
        Assert.Contains("narrow", Assert.Throws<ArgumentException>(() => TorchBackends.Create(new TorchBackendOptions { Network = _narrow with { Groups = 7 } })).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => TorchBackends.Create(new TorchBackendOptions { Network = _narrow with { Stages = default } }));
        Assert.Throws<ArgumentOutOfRangeException>(() => TorchBackends.Create(new TorchBackendOptions { Classes = 0 }));
    }

    [Fact]
    public void Tolerances_follow_the_precision()
    {
        Assert.Equal(0.01, DeviceSelfTest.ToleranceOf(new TorchBackendOptions()));
        Assert.Equal(0.01, DeviceSelfTest.ToleranceOf(new TorchBackendOptions { CudaDevice = 0, AllowTf32 = false }));
        Assert.Equal(0.05, DeviceSelfTest.ToleranceOf(new TorchBackendOptions { CudaDevice = 0 }));
        Assert.Equal(0.3, DeviceSelfTest.ToleranceOf(new TorchBackendOptions { CudaDevice = 0, Bfloat16 = true }));
    }
}
