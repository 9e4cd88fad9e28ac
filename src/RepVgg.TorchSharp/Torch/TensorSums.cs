using TorchSharp;
using TorchSharp.Modules;
using F = TorchSharp.torch.nn.functional;

namespace RepVgg.TorchSharp;

/// <summary>Sums of tensors that the garbage collector cannot disturb.</summary>
/// <remarks>
/// TorchSharp passes numbers to libtorch as <see cref="Scalar"/>, an object with a finalizer, which it does not keep alive during the call. A garbage collection in
/// that moment can free the number, and libtorch reads freed memory. TorchSharp's own sums (<c>+</c>, <c>add</c> and <c>add_</c> with one argument) create such a
/// number, the factor 1; <c>square</c> creates the exponent 2, and numbers in arguments are converted implicitly. BannedSymbols.txt excludes all of them from
/// this project, except in compound assignments (<c>+=</c>), which the analyzer does not see; a number is passed as <c>using var number = value.ToScalar();</c>.
/// </remarks>
internal static class TensorSums
{
    private static readonly Scalar _one = 1.ToScalar();

    /// <summary>Computes left + right.</summary>
    public static torch.Tensor Plus(this torch.Tensor left, torch.Tensor right) => left.add(right, _one);

    /// <summary>Computes tensor + number.</summary>
    public static torch.Tensor Plus(this torch.Tensor tensor, double number)
    {
        using var scalar = number.ToScalar();
        return tensor.add(scalar, _one);
    }

    /// <summary>Computes target += value.</summary>
    /// <returns><paramref name="target"/>.</returns>
    public static torch.Tensor AddInPlace(this torch.Tensor target, torch.Tensor value) => target.add_(value, _one);

    /// <summary>Computes target += number.</summary>
    /// <returns><paramref name="target"/>.</returns>
    public static torch.Tensor AddInPlace(this torch.Tensor target, double number)
    {
        using var scalar = number.ToScalar();
        return target.add_(scalar, _one);
    }

    /// <summary>Computes what the batch norm's own <c>forward</c> computes, which adds 1 to the number of batches in training by such a sum. Hooks of the module are not called.</summary>
    /// <param name="norm">The batch norm; in training its running statistics and its number of batches are updated.</param>
    /// <param name="map">The map, [N, C, H, W].</param>
    public static torch.Tensor Apply(this BatchNorm2d norm, torch.Tensor map)
    {
        double momentum = norm.momentum ?? 0;
        if (norm.training && norm.num_batches_tracked is { } batches)
        {
            using (torch.no_grad())
                batches.add_(_one, _one);
            momentum = norm.momentum ?? 1.0 / batches.item<long>();
        }
        return F.batch_norm(map, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training || norm.running_mean is null, momentum, norm.eps);
    }
}
