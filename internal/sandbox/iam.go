package sandbox

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// iamFile describes IAM's exchange over gRPC, as the public
// yandex/cloud/iam/v1/iam_token_service.proto has it. The generated package
// would bring all of IAM, a megabyte, into the binary.
var iamFile = describeIAM()

func describeIAM() protoreflect.FileDescriptor {
	text, message := descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	field := func(name string, number int32, of descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: proto.String(name), Number: proto.Int32(number), Type: of.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	passport, jwt := field("yandex_passport_oauth_token", 1, text), field("jwt", 2, text)
	passport.OneofIndex, jwt.OneofIndex = proto.Int32(0), proto.Int32(0)
	expires := field("expires_at", 2, message)
	expires.TypeName = proto.String(".google.protobuf.Timestamp")
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("yandex/cloud/iam/v1/iam_token_service.proto"), Package: proto.String("yandex.cloud.iam.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{timestamppb.File_google_protobuf_timestamp_proto.Path()},
		MessageType: []*descriptorpb.DescriptorProto{
			{
				Name: proto.String("CreateIamTokenRequest"), Field: []*descriptorpb.FieldDescriptorProto{passport, jwt},
				OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: proto.String("identity")}},
			},
			{Name: proto.String("CreateIamTokenResponse"), Field: []*descriptorpb.FieldDescriptorProto{field("iam_token", 1, text), expires}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("IamTokenService"),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name:      proto.String("Create"),
				InputType: proto.String(".yandex.cloud.iam.v1.CreateIamTokenRequest"), OutputType: proto.String(".yandex.cloud.iam.v1.CreateIamTokenResponse"),
			}},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(fmt.Sprintf("sandbox: %v", err)) // of a description made here
	}
	return file
}

// tokenService is IAM's exchange over gRPC.
var tokenService = grpc.ServiceDesc{
	ServiceName: "yandex.cloud.iam.v1.IamTokenService",
	HandlerType: (*any)(nil),
	Metadata:    iamFile.Path(),
	Methods: []grpc.MethodDesc{{MethodName: "Create", Handler: func(srv any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		return srv.(*Sandbox).createToken(decode)
	}}},
}

func (s *Sandbox) createToken(decode func(any) error) (any, error) {
	of := iamFile.Messages()
	request := dynamicpb.NewMessage(of.ByName("CreateIamTokenRequest"))
	if err := decode(request); err != nil {
		return nil, err
	}
	value := func(name protoreflect.Name) string {
		return request.Get(request.Descriptor().Fields().ByName(name)).String()
	}
	token, until, failed := s.exchange(value("jwt"), value("yandex_passport_oauth_token"))
	if failed != nil {
		return nil, status.Error(failed.code, failed.message)
	}
	answer := dynamicpb.NewMessage(of.ByName("CreateIamTokenResponse"))
	fields := answer.Descriptor().Fields()
	answer.Set(fields.ByName("iam_token"), protoreflect.ValueOfString(token))
	answer.Set(fields.ByName("expires_at"), protoreflect.ValueOfMessage(timestamppb.New(until).ProtoReflect()))
	return answer, nil
}

// descriptors finds the files for reflection: the binary's own, and iamFile.
type descriptors struct{ *protoregistry.Files }

func (d descriptors) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if path == iamFile.Path() {
		return iamFile, nil
	}
	return d.Files.FindFileByPath(path)
}

func (d descriptors) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	var own protoregistry.Files
	if err := own.RegisterFile(iamFile); err != nil {
		return nil, err
	}
	if found, err := own.FindDescriptorByName(name); err == nil {
		return found, nil
	}
	return d.Files.FindDescriptorByName(name)
}
