using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Sums of tensors that the garbage collector cannot disturb.</summary>
/// <remarks>
/// TorchSharp passes numbers to libtorch as <see cref="Scalar"/>, an object with a finalizer, which it does not keep alive during the call. A garbage collection in
/// that moment can free the number, and libtorch reads freed memory. TorchSharp's own sums (<c>+</c>, <c>add</c> and <c>add_</c> with one argument) create such a
/// number, the factor 1; <c>square</c> creates the exponent 2, and numbers in arguments are converted implicitly. BannedSymbols.txt excludes all of them from
/// this project; a number is passed as <c>using var number = value.ToScalar();</c>.
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
}
