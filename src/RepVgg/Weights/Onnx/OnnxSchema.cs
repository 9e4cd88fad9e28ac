namespace RepVgg.Weights.Onnx;

/// <summary>Field numbers and constants of ONNX's protocol-buffer messages.</summary>
/// <remarks>Source: onnx.proto of the ONNX specification.</remarks>
internal static class OnnxSchema
{
    internal static class Model
    {
        public const int IrVersion = 1, ProducerName = 2, Graph = 7, OpsetImport = 8, Metadata = 14;

        /// <summary>Whether two bytes are the start of a field of a model: its number and wire type.</summary>
        /// <remarks>ir_version, producer_name, producer_version, domain, model_version, doc_string, graph, opset_import, metadata_props; training_info, functions.</remarks>
        public static bool IsField(byte first, byte second) => first is 0x08 or 0x12 or 0x1a or 0x22 or 0x28 or 0x32 or 0x3a or 0x42 or 0x72 || (first is 0xa2 or 0xca && second == 1);
    }

    internal static class Opset
    {
        public const int Domain = 1, Version = 2;
    }

    internal static class Property
    {
        public const int Key = 1, Value = 2;
    }

    internal static class Graph
    {
        public const int Node = 1, Name = 2, Initializer = 5, Input = 11, Output = 12;
    }

    internal static class Node
    {
        public const int Input = 1, Output = 2, Name = 3, OpType = 4, Attribute = 5, Domain = 7;
    }

    internal static class Attribute
    {
        public const int Name = 1, Float = 2, Integer = 3, Text = 4, Tensor = 5, Floats = 7, Integers = 8, Type = 20;

        public const int TypeFloat = 1, TypeInteger = 2, TypeText = 3, TypeIntegers = 7;
    }

    internal static class Tensor
    {
        public const int Dims = 1, DataType = 2, FloatData = 4, Int32Data = 5, Int64Data = 7, Name = 8, RawData = 9, DoubleData = 10, ExternalData = 13, DataLocation = 14;

        public const int Float = 1, UInt8 = 2, Int8 = 3, Int32 = 6, Int64 = 7, Float16 = 10, Double = 11, BFloat16 = 16;

        /// <summary>Whether a type is of floating-point numbers.</summary>
        public static bool IsFloat(long type) => type is Float or Double || IsNarrow(type);

        /// <summary>Whether a type is of floating-point numbers of 16 bits.</summary>
        public static bool IsNarrow(long type) => type is Float16 or BFloat16;
    }

    internal static class ValueInfo
    {
        public const int Name = 1, Type = 2;
    }

    internal static class Type
    {
        public const int Tensor = 1, ElementType = 1, Shape = 2;
    }

    internal static class Shape
    {
        public const int Dimension = 1, Value = 1, Parameter = 2;
    }
}
