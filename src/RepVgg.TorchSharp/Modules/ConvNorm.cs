using RepVgg.Reparameterization;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>A convolution without bias followed by a batch norm. The submodules are named conv and bn, as in the RepVGG authors' code.</summary>
internal sealed class ConvNorm : torch.nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "conv")]
    private readonly Conv2d _conv;

    [ComponentName(Name = "bn")]
    private readonly BatchNorm2d _norm;

    public ConvNorm(int inputs, int outputs, int kernel, int stride, int padding, int dilation, int groups, double epsilon)
        : base(nameof(ConvNorm))
    {
        _conv = torch.nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups: groups, bias: false);
        _norm = torch.nn.BatchNorm2d(outputs, epsilon);
        RegisterComponents();
    }

    /// <summary>The kernel, OIHW. The module owns the tensor; do not dispose it.</summary>
    public Tensor Kernel => _conv.weight;

    public override Tensor forward(Tensor input)
    {
        using var convolved = _conv.call(input);
        return _norm.call(convolved);
    }

    public (float[] Kernel, NormValues Norm) Values() => (Read(_conv.weight), Values(_norm));

    /// <summary>Copies the parameters, running statistics and epsilon of a batch norm, which define its scale and shift in evaluation mode.</summary>
    public static NormValues Values(BatchNorm2d norm) =>
        new(Read(norm.weight), Read(norm.bias!), Read(norm.running_mean!), Read(norm.running_var!), norm.eps);

    private static float[] Read(Tensor tensor)
    {
        var values = new float[tensor.NumberOfElements];
        HostCopy.FromTensor(tensor, values);
        return values;
    }
}
