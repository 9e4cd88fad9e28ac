using RepVgg.Weights;
using RepVgg.Weights.Onnx;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>Changes the constants of a parsed ONNX model.</summary>
internal static class OnnxModelEdits
{
    /// <summary>Replaces the values of a floating-point constant; without a shape, they get the constant's.</summary>
    public static void SetFloats(this OnnxModel model, string name, float[] values, int[]? shape = null)
    {
        shape ??= model.Constants[name].Shape;
        model.Constants[name] = new OnnxConstant(name, shape, new TensorData(shape, values), null);
    }

    /// <summary>Replaces the shape of a floating-point constant.</summary>
    public static void Reshape(this OnnxModel model, string name, params int[] shape) => model.SetFloats(name, model.Constants[name].Floats!.Values, shape);
}
