using RepVgg.Architectures;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using TorchSharp;
using TorchSharp.Modules;
using F = TorchSharp.torch.nn.functional;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>A PSPNet on a RepVGG as a TorchSharp module, for semantic segmentation.</summary>
/// <remarks>
/// The weights have the names of <see cref="RepVggBackbone"/> after <c>backbone.</c>, and those of semseg, the code of PSPNet's authors, for the heads: <c>ppm.features.0.1</c>, <c>cls.0</c>, <c>aux.0</c>.
/// <see cref="DeployExtensions.SwitchToDeploy"/> fuses the blocks of the backbone in place; the heads have no branches and keep their batch norms.
/// <see cref="ExportState"/> of the training form gives the weights that <c>SegmentationNetwork.FromTrainingForm</c> fuses, for the engine on the CPU and for ONNX.
/// Source: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017; RepVGG, section 4.3.
/// </remarks>
public sealed class PspNet : torch.nn.Module<Tensor, Tensor>
{
    private const string BackbonePrefix = "backbone.";

    private readonly RepVggBackbone _backbone;
    private readonly torch.nn.Module<Tensor, Tensor>[] _branches;
    private readonly torch.nn.Module<Tensor, Tensor> _head;
    private readonly torch.nn.Module<Tensor, Tensor>? _auxiliary;

    /// <summary>Creates a network with random weights.</summary>
    /// <param name="architecture">The architecture, as of <see cref="PspNetArchitecture.Create"/>.</param>
    /// <param name="dropout">Share of the channels that the heads drop in training, 0 or more and less than 1.</param>
    /// <param name="deploy">True to create the backbone in its fused form, for weights that are already fused.</param>
    /// <exception cref="ArgumentException">The architecture cannot be built, or <paramref name="dropout"/> is out of range.</exception>
    /// <exception cref="NotSupportedException"><paramref name="deploy"/> is true, and the training form cannot be fused; or a stage is padded on one side.</exception>
    /// <exception cref="DeviceUnavailableException">TorchSharp or its native libraries are missing, have another version, or need a newer system.</exception>
    public PspNet(PspNetArchitecture architecture, double dropout = 0.1, bool deploy = false)
        : base(TorchRuntime.Checked(nameof(PspNet)))
    {
        ArgumentNullException.ThrowIfNull(architecture);
        architecture.Validate();
        if (dropout is not (>= 0 and < 1))
            throw new ArgumentException(FormattableString.Invariant($"The dropout is {dropout}, not 0 or more and less than 1."), nameof(dropout));
        Architecture = architecture;
        _backbone = new RepVggBackbone(architecture.Backbone, deploy: deploy);
        // In semseg, the first module of each branch is the pooling.
        _branches =
        [
            .. architecture.Bins.Select(bin => torch.nn.Sequential(
                ("0", torch.nn.AdaptiveAvgPool2d(bin)),
                ("1", torch.nn.Conv2d(architecture.Backbone.FeatureWidth, architecture.ActualBranchWidth, 1, bias: false)),
                ("2", Norm(architecture.ActualBranchWidth)),
                ("3", torch.nn.ReLU()))),
        ];
        _head = Head(architecture.ConcatenatedWidth, architecture.HeadWidth);
        _auxiliary = architecture.AuxiliaryWidth > 0 ? Head(architecture.Backbone.Stages[architecture.AuxiliaryStage].Width, architecture.AuxiliaryWidth) : null;

        register_module("backbone", _backbone);
        register_module("ppm", new Pyramid(_branches));
        register_module("cls", _head);
        if (_auxiliary is not null)
            register_module("aux", _auxiliary);

        BatchNorm2d Norm(int channels) => torch.nn.BatchNorm2d(channels, eps: architecture.Backbone.BatchNormEpsilon);

        Sequential Head(int inputs, int width) => torch.nn.Sequential(
            ("0", torch.nn.Conv2d(inputs, width, 3, padding: 1, bias: false)),
            ("1", Norm(width)),
            ("2", torch.nn.ReLU()),
            ("3", torch.nn.Dropout2d(dropout)),
            ("4", torch.nn.Conv2d(width, architecture.Classes, 1)));
    }

    /// <summary>The architecture of the network.</summary>
    public PspNetArchitecture Architecture { get; }

    /// <summary>The backbone.</summary>
    public RepVggBackbone Backbone => _backbone;

    /// <summary>Computes the logits of every pixel.</summary>
    /// <param name="input">Normalised images, [N, C, H, W].</param>
    /// <returns>[N, classes, H, W].</returns>
    /// <exception cref="ArgumentException">The images are too small for the pyramid.</exception>
    public override Tensor forward(Tensor input)
    {
        CheckSize(input);
        using var scope = torch.NewDisposeScope();
        return Main(_backbone.call(input), input).MoveToOuterDisposeScope();
    }

    /// <summary>Computes the logits of the main head and of the auxiliary head, for the loss of training: that of the auxiliary head has the weight 0.4 in the paper.</summary>
    /// <param name="input">Normalised images, [N, C, H, W].</param>
    /// <returns>The logits [N, classes, H, W] of both heads. The auxiliary ones are null if the architecture has no auxiliary head. The caller disposes them.</returns>
    /// <exception cref="ArgumentException">The images are too small for the pyramid.</exception>
    public (Tensor Logits, Tensor? Auxiliary) ForwardWithAuxiliary(Tensor input)
    {
        CheckSize(input);
        using var scope = torch.NewDisposeScope();
        var maps = _backbone.Stages(input);
        var auxiliary = _auxiliary is null ? null : Resize(_auxiliary.call(maps[Architecture.AuxiliaryStage]), input);
        return (Main(maps[^1], input).MoveToOuterDisposeScope(), auxiliary?.MoveToOuterDisposeScope());
    }

    /// <summary>Overwrites the weights.</summary>
    /// <param name="state">Weights of a PSPNet in the current form of this module, training or fused, under the names that <see cref="ExportState"/> gives. Batch counters are ignored, and the auxiliary head if this module has none.</param>
    /// <exception cref="ArgumentException">Tensors are missing, unexpected or of the wrong shape. The message names the first ones, and no weight is changed.</exception>
    public void ImportState(StateDict state) => ModuleWeights.Import(
        state, Weights(), $"a PSPNet on {Architecture.Backbone.Name} with {Architecture.Classes} classes", name => _auxiliary is null && PspNetLayout.IsAuxiliary(name));

    /// <summary>Copies the weights, without batch counters. Those of the backbone have the names of the RepVGG authors' code, without <c>backbone.</c>.</summary>
    /// <returns>The weights.</returns>
    public StateDict ExportState() => ModuleWeights.Export(Weights());

    private Tensor Main(Tensor map, Tensor input)
    {
        Tensor[] parts = [map, .. _branches.Select(branch => Resize(branch.call(map), map))];
        return Resize(_head.call(torch.cat(parts, 1)), input);
    }

    /// <summary>Resizes a map to the size of another one.</summary>
    private Tensor Resize(Tensor map, Tensor target) =>
        F.interpolate(map, [target.shape[2], target.shape[3]], mode: torch.InterpolationMode.Bilinear, align_corners: Architecture.AlignCorners);

    private void CheckSize(Tensor input)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (input.shape is not [_, var channels, <= int.MaxValue and var height, <= int.MaxValue and var width] || channels != Architecture.Backbone.InputChannels)
            throw new ArgumentException($"The network reads [N, {Architecture.Backbone.InputChannels}, H, W], not [{string.Join(", ", input.shape)}].", nameof(input));
        Architecture.ValidateImageSize((int)height, (int)width);
    }

    private IEnumerable<(string Name, Tensor Tensor)> Weights() => ModuleWeights.Of(this)
        .Select(weight => (weight.Name.StartsWith(BackbonePrefix, StringComparison.Ordinal) ? weight.Name[BackbonePrefix.Length..] : weight.Name, weight.Tensor));

    /// <summary>Gives the branches the names of semseg: <c>features.0</c>, <c>features.1</c>, ...</summary>
    private sealed class Pyramid : torch.nn.Module
    {
        public Pyramid(torch.nn.Module<Tensor, Tensor>[] branches)
            : base(nameof(Pyramid)) => register_module("features", torch.nn.ModuleList(branches));
    }
}
